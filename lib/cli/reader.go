package cli

import (
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Expect announces that standard output will be written, if path names it; Stream and
// Image call it. From now on the process ends when its reader goes away, as SIGPIPE
// would end it at the next write, whatever the tool is waiting for.
func (e *Env) Expect(path string) {
	if isStandard(path) && e.process {
		e.watched.Do(func() { e.watchReader() })
	}
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

// noteLastWrite notes that the last write to standard output comes next: the reader may
// leave as soon as it has that.
func (e *Env) noteLastWrite() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastWrite = true
}

// keepPipe makes a write to a standard output without a reader fail, instead of ending
// the process. The caller must call dieOfPipe on EPIPE.
func keepPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// dieOfPipe takes bars from the terminal, and ends the process as a write to a standard
// output without a reader does, unless SIGPIPE is ignored. The write goes to a pipe of
// its own, since by now there may be another reader.
func (e *Env) dieOfPipe() {
	if !e.process {
		return
	}
	e.progress.finish(false, signalDraw)
	signal.Reset(syscall.SIGPIPE)
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		unix.Dup3(int(w.Fd()), unix.Stdout, 0)
		e.Stdout.Write([]byte{0})
	}
}
