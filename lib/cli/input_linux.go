//go:build !portable

package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// withoutWriter returns the flag for opening a named pipe that may have no writer yet.
func withoutWriter(path string) int {
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		return unix.O_NONBLOCK
	}
	return 0
}

// interruptible is an input whose Close interrupts Read. Read first polls for data and
// for Close, because the flags of the open file, which other processes share, must stay
// as they are. If another process takes the data after the poll, Close does not
// interrupt that Read.
type interruptible struct {
	f      *os.File
	fd     int // of f
	wake   int // an eventfd, which Close writes
	closed atomic.Bool
	mu     sync.Mutex // held by Read, and while the descriptors are closed
}

func newInterruptible(f *os.File) (io.ReadCloser, error) {
	w := &interruptible{f: f}
	err := control(f, func(fd int) (err error) {
		w.fd = fd
		w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		return err
	})
	return w, err
}

func (w *interruptible) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.wait(); err != nil {
		return 0, &fs.PathError{Op: "read", Path: w.f.Name(), Err: err}
	}
	return w.f.Read(p)
}

// wait returns once a read does not block, or with an error after Close.
func (w *interruptible) wait() error {
	for !w.closed.Load() {
		fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if fds[0].Revents != 0 && fds[1].Revents == 0 {
			return nil
		}
	}
	return fs.ErrClosed
}

func (w *interruptible) Close() error {
	first := !w.closed.Swap(true)
	if first {
		unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !first {
		return nil
	}
	unix.Close(w.wake)
	return w.f.Close()
}
