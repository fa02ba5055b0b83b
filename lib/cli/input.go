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

// Open opens an input; "-" and "" are standard input. It refuses a terminal and a file that
// is an output already, and widens a pipe.
//
// The result is an *os.File for a regular file, a directory or a disk. For anything else,
// such as a pipe, Close interrupts a Read that waits, and returns after it. A named pipe
// opens at once, and Read waits for its writer.
func (e *Env) Open(path string) (io.ReadCloser, error) {
	f, info, err := e.open(path)
	if err != nil {
		return nil, err
	}
	if holdsData(info) || info.IsDir() {
		return f, nil
	}
	w, err := newInterruptible(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// OpenFile is Open for an input that is read at random. It refuses a directory.
func (e *Env) OpenFile(path string) (*os.File, error) {
	f, info, err := e.open(path)
	if err == nil && info.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: unix.EISDIR}
	}
	return f, err
}

func (e *Env) open(path string) (*os.File, fs.FileInfo, error) {
	f := e.Stdin
	if !isStandard(path) {
		var err error
		if f, err = os.OpenFile(path, os.O_RDONLY|withoutWriter(path), 0); err != nil {
			return nil, nil, err
		}
	} else if err := e.checkStdin(); err != nil {
		return nil, nil, err
	} else if isTerminal(f) {
		return nil, nil, Hint(Usage("%s: is a terminal", stdinName), "name a file, or connect a pipe: tool < FILE")
	}
	info, err := f.Stat()
	if err := e.addInput(info, err); err != nil {
		f.Close()
		return nil, nil, err
	}
	e.progress.input(f, info)
	widen(f)
	return f, info, nil
}

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

func newInterruptible(f *os.File) (*interruptible, error) {
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
