package cli

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"ocipipe/lib/atomicfile"
)

// Kind says whether data may be shown on a terminal.
type Kind bool

// The kinds of output.
const (
	Text   Kind = false
	Binary Kind = true
)

// A Stream gathers writes until it has blockSize bytes, but a write of noCopy bytes is not
// worth a copy.
const (
	blockSize = 256 << 10
	noCopy    = blockSize / 2
)

// Stream is an output that is written from its beginning to its end. It gathers
// small writes; one of 128 KiB or more goes to the file as it is, so that a caller with
// a buffer of that size does not pay for a second copy.
type Stream struct {
	env  *Env
	name string
	out  *os.File
	file *atomicfile.File // nil for standard output
	buf  []byte
	err  error // the first error of a write

	written atomic.Int64 // for the progress

	measured *measured // for the report; nil: not wanted

	// move makes the kernel move bytes of a file to out; nil once it could not.
	move func(out, f *os.File, off, n int64) int64

	mu    sync.Mutex // held while standard output is written, if that is fresh
	fresh bool       // see isFresh: Abort empties it
	over  bool
}

// Stream opens the sequential output of the tool: FILE of -o FILE, which is
// replaced at Commit, or standard output for "-" and "". Binary refuses a
// terminal. A pipe is widened. Only one goroutine may write.
//
// Without Commit, or after a failed one, FILE is as it was; standard output, if
// it was an empty file at its beginning, is empty again; bytes that went into a pipe
// are gone, including those that were still buffered when Run returned its error.
func (e *Env) Stream(path string, kind Kind) (*Stream, error) {
	file, err := e.openTarget(path, kind)
	if err != nil {
		return nil, err
	}
	s := &Stream{env: e, name: path, file: file, measured: e.measure(path)}
	if file != nil {
		s.out = file.File
	} else {
		s.name, s.out, s.fresh = stdoutName, e.Stdout, isFresh(e.Stdout)
	}
	s.move = splice
	if fi, err := s.out.Stat(); err == nil && fi.Mode().IsRegular() {
		s.move = copyRange
	}
	if s.isHashed() {
		s.move = nil // what does not pass through memory cannot be hashed
	}
	widen(s.out)
	e.progress.output(s.out, s.written.Load)
	e.addOutput(s)
	return s, nil
}

// Write writes p. Every later call, and Commit, return its first error.
func (s *Stream) Write(p []byte) (int, error) {
	n := len(p)
	if n >= noCopy {
		s.flush()
		s.put(p)
		p = nil
	}
	for len(p) > 0 && s.err == nil {
		if s.buf == nil {
			s.buf = make([]byte, 0, blockSize)
		}
		room := min(len(p), blockSize-len(s.buf))
		s.buf = append(s.buf, p[:room]...)
		p = p[room:]
		if len(s.buf) == blockSize {
			s.flush()
		}
	}
	if s.err != nil {
		return 0, s.err
	}
	return n, nil
}

// WriteFrom is Write of p, which f holds at off too. f must keep it, since a pipe can be
// given the file's own memory. It makes a Stream a blockio.FileWriter.
func (s *Stream) WriteFrom(f *os.File, off int64, p []byte) (n int, err error) {
	if len(p) >= noCopy {
		n = int(s.TakeFrom(f, off, int64(len(p))))
	}
	m, err := s.Write(p[n:])
	return n + m, err
}

// TakeFrom writes up to n bytes that f holds at off, without a way through memory: a pipe
// gets the file's own pages, which f must keep, and a file a copy that the kernel makes. It
// returns how many bytes it wrote. It makes a Stream a blockio.FileTaker.
func (s *Stream) TakeFrom(f *os.File, off, n int64) (done int64) {
	for done < n && s.move != nil {
		if s.flush(); s.err != nil {
			break
		}
		want := min(n-done, takeSize)
		var took int64
		s.exclusive(func() { took = s.move(s.out, f, off+done, want) })
		s.written.Add(took)
		if done += took; took < want { // whatever the reason, Write does it, or returns the error
			s.move = nil
		}
	}
	return done
}

// takeSize is how many bytes move takes in one go. An Abort is noticed in between.
const takeSize = 8 << 20

// Place returns the file that is written and the offset of the next byte, if the caller
// may write what follows there itself, in any order; Skip then continues after it.
// Otherwise the file is nil.
func (s *Stream) Place() (f *os.File, off int64) {
	if s.file == nil || s.file.InPlace() || s.isHashed() {
		return nil, 0
	}
	if s.flush(); s.err != nil {
		return nil, 0
	}
	return s.out, s.written.Load()
}

// Skip moves past n bytes that the caller has written itself, or will; see Place.
func (s *Stream) Skip(n int64) error {
	if s.flush(); s.err == nil {
		_, s.err = s.out.Seek(n, io.SeekCurrent)
		s.written.Add(n)
	}
	return s.err
}

// Expect tells the progress display how many bytes the output will have.
func (s *Stream) Expect(n int64) { s.env.progress.expect(n) }

// IsTerminal reports whether the output is a terminal.
func (s *Stream) IsTerminal() bool { return isTerminal(s.out) }

// Columns returns the width of the terminal that the text output at path goes to; "" and
// "-" are standard output. It returns 0 if that is not a terminal.
func (e *Env) Columns(path string) int {
	if !isStandard(path) || !isTerminal(e.Stdout) {
		return 0
	}
	_, columns := winsize(e.Stdout)
	return columns
}

// Commit writes out what is buffered and completes the output.
func (s *Stream) Commit() error {
	s.env.noteLastWrite()
	s.flush()
	if s.err == nil {
		s.err = s.env.writeDepfile()
	}
	switch {
	case s.err != nil:
	case s.file != nil:
		s.err = s.file.Commit()
	default:
		s.err = closeCopy(s.out)
	}
	if s.err != nil {
		return s.err // s stays pending, so that end aborts it
	}
	if s.measured != nil {
		s.measured.size = s.written.Load()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errAborted
	}
	s.over = true
	return nil
}

// Abort discards the output; see Env.Stream. It does nothing after Commit.
func (s *Stream) Abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	if s.file != nil {
		s.file.Abort()
	} else if s.fresh {
		makeEmpty(s.out)
	}
}

var errAborted = errors.New("aborted")

func (s *Stream) pending() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return ""
	}
	return s.name
}

func (s *Stream) flush() {
	if len(s.buf) > 0 {
		s.put(s.buf)
		s.buf = s.buf[:0]
	}
}

func (s *Stream) put(p []byte) {
	if s.err != nil {
		return
	}
	hashed := s.hash(p)
	s.exclusive(func() {
		n, err := s.out.Write(p)
		s.written.Add(int64(n))
		s.err = err
	})
	hashed()
	if s.file == nil && isBrokenPipe(s.err) {
		s.env.dieOfPipe()
	}
}

func (s *Stream) isHashed() bool { return s.measured != nil && s.measured.sum != nil }

// hash hashes p for the report, beside what the caller does until it calls wait.
func (s *Stream) hash(p []byte) (wait func()) {
	if !s.isHashed() {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		s.measured.sum.Write(p)
		close(done)
	}()
	return func() { <-done }
}

// exclusive calls write unless the output has been aborted.
func (s *Stream) exclusive(write func()) {
	s.mu.Lock()
	over := s.over
	if s.fresh {
		// An Abort must not come before the write, which would fill the file again.
		defer s.mu.Unlock()
	} else {
		s.mu.Unlock() // a pipe may block
	}
	if over {
		s.err = errAborted
		return
	}
	write()
}

func makeEmpty(f *os.File) {
	f.Truncate(0)
	f.Seek(0, 0)
}
