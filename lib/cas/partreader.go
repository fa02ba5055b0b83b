package cas

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// NewReader returns a reader of the content from its beginning, which waits for
// what has not arrived. At the end it waits for the hash and returns io.EOF only
// if the digest is right, else an error that is ErrMismatch. If the part is closed
// before all has arrived it returns the error that it was closed with.
//
// The reader has its own file: it goes on after Commit, and is to be closed. After
// Commit has put the blob NewReader opens that.
func (p *Part) NewReader(ctx context.Context) (io.ReadCloser, error) {
	switch over := p.isOver(); {
	case over == errCommitted:
		return p.reopen(ctx)
	case over != nil:
		return nil, over
	}
	f, err := duplicate(p.f)
	if errors.Is(err, os.ErrClosed) { // just now, and over says why
		return p.NewReader(ctx)
	}
	if err != nil {
		return nil, storeError(err)
	}
	return &partReader{ctx: ctx, p: p, f: f}, nil
}

// reopen waits for the end of Commit and opens the blob.
func (p *Part) reopen(ctx context.Context) (io.ReadCloser, error) {
	select {
	case <-p.put:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if p.putErr != nil {
		return nil, p.putErr
	}
	b, err := p.s.Blob(p.digest)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// duplicate returns another descriptor of f. It shares the position with f.
func duplicate(f *os.File) (*os.File, error) {
	c, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	if cerr := c.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

type partReader struct {
	ctx context.Context
	p   *Part
	f   *os.File
	off int64
}

func (r *partReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if r.off == r.p.size {
		if err := r.p.verdict(r.ctx); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	end, err := r.p.arrived(r.ctx, r.off)
	if err != nil {
		return 0, err
	}
	n, err := r.f.ReadAt(b[:min(int64(len(b)), end-r.off)], r.off)
	r.off += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (r *partReader) Close() error { return r.f.Close() }
