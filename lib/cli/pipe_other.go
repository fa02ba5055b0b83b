//go:build !linux || portable

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// widen would make a pipe hold more. Here it has the size that the system gives it.
func widen(f *os.File) {}

// splice would move bytes of f into pipe without copying them.
func splice(pipe, f *os.File, off, n int64) (done int64) { return 0 }

// watchReader would wait for the reader of standard output to leave. Here the next write
// finds out.
func (e *Env) watchReader() {}

// dieByPipe ends the process as a write to a standard output without a reader does, unless
// SIGPIPE is ignored.
func dieByPipe(*os.File) {
	if !signal.Ignored(syscall.SIGPIPE) {
		die(syscall.SIGPIPE)
	}
}
