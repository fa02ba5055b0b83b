package cli

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// die ends the process with the exit code that says sig elsewhere.
func die(sig syscall.Signal) { os.Exit(128 + int(sig)) }

// isBrokenPipe reports whether err says that the reader of a pipe has gone.
func isBrokenPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA) ||
		errors.Is(err, windows.ERROR_PIPE_NOT_CONNECTED) || errors.Is(err, syscall.EPIPE)
}

// appends reports whether f was opened to append: nobody can tell, and a shell does not do it.
func appends(f *os.File) bool { return false }

// foreground reports whether the process may write to its terminal tty.
func foreground(tty *os.File) bool { return true }

// hungUp reports whether the pipe f has no writer any more. Nobody can tell.
func hungUp(f *os.File) bool { return true }

// openDescriptor would open a descriptor that the parent process has left open.
func openDescriptor(n int) (*os.File, error) {
	return nil, errors.New("Windows passes no file descriptors on")
}

// takeDescriptor would take over a descriptor that the parent process has left open.
func takeDescriptor(n int) (*os.File, error) { return openDescriptor(n) }
