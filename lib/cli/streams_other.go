//go:build !linux || portable

package cli

import "os"

// restoreClosed has nothing to do: on this system the entry point is that of the runtime, and
// a standard stream that was closed is whatever the runtime has put there.
func restoreClosed() error { return nil }

// lacks would report whether f is open for the other direction only. Here the first read or
// write tells.
func lacks(f *os.File, other int) bool { return false }

// isReplaced would report whether f was closed.
func isReplaced(f *os.File) bool { return false }

// reopen would open a fresh standard output for reading too. Here the image goes through a
// spool file.
func reopen(stdout *os.File) *os.File { return nil }
