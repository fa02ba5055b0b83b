//go:build unix

package cli

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// die ends the process by sig, so that its parent sees the signal.
func die(sig syscall.Signal) {
	signal.Reset(sig)
	syscall.Kill(syscall.Getpid(), sig)
	time.Sleep(time.Second) // the signal is on its way, unless it is blocked
	os.Exit(128 + int(sig))
}

// isBrokenPipe reports whether err says that the reader of a pipe has gone.
func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// appends reports whether f was opened to append.
func appends(f *os.File) bool {
	appends := true
	control(f, func(fd int) error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		appends = err != nil || flags&unix.O_APPEND != 0
		return nil
	})
	return appends
}

// foreground reports whether the process may write to its terminal tty.
func foreground(tty *os.File) bool {
	group, err := 0, error(nil)
	control(tty, func(fd int) error {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return err != nil || group == unix.Getpgrp()
}

// hungUp reports whether the pipe f has no writer any more.
func hungUp(f *os.File) (yes bool) {
	err := control(f, func(fd int) error {
		list := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(list, 0)
		yes = list[0].Revents&unix.POLLHUP != 0
		return err
	})
	return yes || err != nil // f was read to its end, and closed
}

// checkDescriptor returns an error unless the parent process has left descriptor n open for
// writing.
func checkDescriptor(n int) error {
	var st unix.Stat_t
	if n < 0 || unix.Fstat(n, &st) != nil {
		return errors.New("is not open")
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFREG:
	default:
		return errors.New("is not a file, a pipe, a socket or a terminal") // perhaps one of the runtime's own
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
		return errors.New("is not open for writing")
	}
	return nil
}

// openDescriptor duplicates descriptor n, which the parent process has left open for
// writing.
func openDescriptor(n int) (*os.File, error) {
	if err := checkDescriptor(n); err != nil {
		return nil, err
	}
	if n == 1 {
		return nil, errors.New("is standard output, which carries the data")
	}
	fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", n)), nil
}

// takeDescriptor returns descriptor n, which the parent process has left open for writing.
// No child process gets it, so that its reader sees the end when it is closed here.
func takeDescriptor(n int) (*os.File, error) {
	if n >= 0 && n <= 2 {
		return nil, errors.New("is a standard stream: use --report=- for standard output, or say 3>FILE --report-fd=3")
	}
	if err := checkDescriptor(n); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(n), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(n), fmt.Sprintf("descriptor %d", n)), nil
}
