//go:build !portable

package cli

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// widen makes a pipe hold 1 MiB, or what an unprivileged user is allowed; that
// makes it up to four times as fast.
func widen(f *os.File) {
	control(f, func(fd int) error {
		have, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
		for want := 1 << 20; err == nil && want > have; want /= 2 {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, want); err == nil {
				break
			}
		}
		return nil
	})
}

// splice moves n bytes of f at off into pipe without copying them, and returns how
// many the kernel took.
func splice(pipe, f *os.File, off, n int64) (done int64) {
	out, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	control(f, func(from int) error {
		return out.Write(func(to uintptr) bool {
			for done < n {
				k, err := unix.Splice(from, &off, int(to), nil, int(n-done), 0)
				if err == unix.EAGAIN {
					return false
				}
				if k <= 0 && err != unix.EINTR {
					break
				}
				done += int64(max(k, 0))
			}
			return true
		})
	})
	return done
}

// watchReader waits for the reader of standard output to leave, if that is a pipe or a
// socket.
func (e *Env) watchReader() {
	info, err := e.Stdout.Stat()
	if err != nil {
		return
	}
	var gone int16 // how poll says that a write would fail
	switch info.Mode().Type() {
	case fs.ModeNamedPipe:
		gone = unix.POLLERR
	case fs.ModeSocket:
		gone = unix.POLLHUP
	default:
		return
	}
	control(e.Stdout, func(fd int) error {
		go e.awaitLeaving(fd, gone)
		return nil
	})
}

// awaitLeaving polls standard output, which stays open as long as the process, until its
// reader leaves.
func (e *Env) awaitLeaving(fd int, gone int16) {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		if fds[0].Revents&gone != 0 {
			break
		}
		if fds[0].Revents != 0 {
			return // an error that says nothing of the reader, and would come again
		}
	}
	e.mu.Lock() // not released, as for a signal
	if e.ended || e.lastWrite {
		e.mu.Unlock()
		return
	}
	e.abortAll()
	e.dieOfPipe()
	os.Exit(exitPipe) // SIGPIPE is ignored
}

// dieByPipe ends the process as a write to a standard output without a reader does, unless
// SIGPIPE is ignored. The write goes to a pipe of its own, since by now there may be another
// reader.
func dieByPipe(stdout *os.File) {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		unix.Dup3(int(w.Fd()), unix.Stdout, 0)
		stdout.Write([]byte{0})
	}
}
