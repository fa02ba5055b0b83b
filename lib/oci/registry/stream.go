package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Stream reads a blob from an offset on. If the connection breaks, it goes on with another.
type Stream struct {
	r         *Repository
	ctx       context.Context
	b         Blob
	pos       int64
	tries     attempts
	in        *incoming
	wholeOnly bool // the server cannot be asked for ranges
	err       error
}

// Stream opens b at byte off. The caller verifies the bytes, of which there may be more
// than b.Size, and closes the stream.
func (r *Repository) Stream(ctx context.Context, b Blob, off int64, notify func(Retry)) (*Stream, error) {
	s := &Stream{r: r, ctx: ctx, b: b, pos: off, tries: attempts{c: r.c, notify: notify}}
	if off == b.Size && off > 0 {
		s.err = io.EOF
		return s, nil
	}
	return s, s.reopen()
}

// reopen asks for the bytes from pos on until a server sends them.
func (s *Stream) reopen() error {
	for {
		err := s.open()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errRange) && !s.wholeOnly:
			s.wholeOnly = true
			continue
		case errors.Is(err, errRange):
			err = &Error{Err: fmt.Errorf("%w: %v", ErrProtocol, err)}
		}
		if err := s.tries.again(s.ctx, err); err != nil {
			return err
		}
	}
}

func (s *Stream) open() error {
	in, err := s.r.open(s.ctx, s.b, s.pos, -1, s.pos > 0 && !s.wholeOnly)
	if err != nil {
		return err
	}
	if err := in.skip(s.pos, make([]byte, 32<<10)); err != nil {
		in.close()
		return err
	}
	s.in = in
	return nil
}

// Read reads the blob.
func (s *Stream) Read(p []byte) (int, error) {
	for s.err == nil {
		n, err := s.in.read(p)
		s.pos += int64(n)
		s.tries.progress(n)
		if err != nil && err != io.EOF {
			s.in.close()
			s.in = nil
			if err = s.tries.again(s.ctx, err); err == nil {
				err = s.reopen()
			}
		} else if err == io.EOF && s.in.ranged && s.in.end < s.b.Size {
			s.in.close() // less than was asked for
			err = s.reopen()
		}
		s.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, s.err
}

// Close ends the download.
func (s *Stream) Close() error {
	s.in.close()
	return nil
}
