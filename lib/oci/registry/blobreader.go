package registry

import (
	"context"
	"errors"
	"io"
	"sync"
)

// blobReader gives the bytes of a blob to requests, one after the other. A request may still
// read when its answer is there: a section reads nothing any more once another has been made.
type blobReader struct {
	ctx  context.Context
	size int64
	open func(ctx context.Context, off int64) (io.ReadCloser, error)
	sent func(n int64)

	mu      sync.Mutex
	in      io.ReadCloser
	pos     int64
	most    int64 // the end of what was sent in this session
	checked bool  // the reader has confirmed the blob at its end
	err     error // of the reader
	now     *section
}

// section is a part of a blob, as the body of a request.
type section struct {
	b    *blobReader
	left int64
}

var errLeft = errors.New("the request is over")

// section returns the bytes from off to end.
func (b *blobReader) section(off, end int64) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = &section{b, end - off}
	return b.now, b.seek(off)
}

func (b *blobReader) seek(off int64) (err error) {
	if b.in != nil && b.pos == off {
		return nil
	}
	if b.in != nil {
		b.in.Close()
	}
	if b.in, err = b.open(b.ctx, off); err != nil {
		b.in, b.err = nil, err
	}
	b.pos = off
	return err
}

func (s *section) Read(p []byte) (int, error) {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.now != s:
		return 0, errLeft
	case s.left == 0:
		return 0, io.EOF
	case b.err != nil:
		return 0, b.err
	}
	n, err := b.in.Read(p[:min(int64(len(p)), s.left)])
	b.pos += int64(n)
	s.left -= int64(n)
	if b.pos == b.size && err == nil {
		err = atEnd(b.in)
	}
	b.checked = b.checked || b.pos == b.size && err == io.EOF
	switch {
	case err == io.EOF && b.pos < b.size:
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		err = nil
	}
	if err != nil { // the last bytes are kept back
		b.err = err
		return 0, err
	}
	if b.most = max(b.most, b.pos); b.sent != nil {
		b.sent(b.pos)
	}
	return n, nil
}

// Close implements [io.Closer]; the reader stays open for the next section.
func (s *section) Close() error { return nil }

// atEnd returns io.EOF if r has ended and confirms what it has given.
func atEnd(r io.Reader) error {
	var one [1]byte
	for {
		switch n, err := r.Read(one[:]); {
		case n > 0:
			return errors.New("more bytes than the blob has")
		case err != nil:
			return err
		}
	}
}

// check reads the blob up to its end, unless that has been done, and returns the error of the
// reader.
func (b *blobReader) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.checked || b.err != nil {
		return b.err
	}
	if b.err = b.seek(0); b.err == nil {
		_, b.err = io.Copy(io.Discard, struct{ io.Reader }{b.in})
		b.pos = b.size
	}
	b.checked = b.err == nil
	return b.err
}

// failed returns the error of the reader, to which no retry helps.
func (b *blobReader) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// sentMost returns the end of what was sent in this session.
func (b *blobReader) sentMost() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}

// sentAll reports whether all was sent in this session.
func (b *blobReader) sentAll() bool { return b.sentMost() == b.size }

// restart forgets what was sent.
func (b *blobReader) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most, b.now = 0, nil
}

func (b *blobReader) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = nil
	if b.in != nil {
		b.in.Close()
		b.in = nil
	}
}
