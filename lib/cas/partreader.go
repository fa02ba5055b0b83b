package cas

import (
	"context"
	"errors"
	"fmt"
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
func (p *Part) NewReader(ctx context.Context) (*PartReader, error) {
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
	return &PartReader{ctx: ctx, p: p, f: f}, nil
}

// reopen waits for the end of Commit and opens the blob.
func (p *Part) reopen(ctx context.Context) (*PartReader, error) {
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
	return &PartReader{ctx: ctx, p: p, f: b.File}, nil
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

// PartReader reads a part; see NewReader.
type PartReader struct {
	ctx context.Context
	p   *Part
	f   *os.File
	off int64
}

// Read reads what has arrived, and waits if that is nothing.
func (r *PartReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	end, err := r.wait()
	if err != nil {
		return 0, err
	}
	n, err := r.f.ReadAt(b[:min(int64(len(b)), end-r.off)], r.p.base+r.off)
	r.off += int64(n)
	switch {
	case n > 0:
		err = nil
	case err == io.EOF:
		err = fmt.Errorf("%s: %w: somebody has changed it", r.f.Name(), io.ErrUnexpectedEOF)
	}
	return n, err
}

// Next waits as Read does, and says where what follows lies: n bytes of f at off.
// Skip goes on behind as many of them.
func (r *PartReader) Next() (f *os.File, off, n int64, err error) {
	end, err := r.wait()
	if err != nil {
		return nil, 0, 0, err
	}
	return r.f, r.p.base + r.off, end - r.off, nil
}

// Skip leaves out n bytes of those that Next has returned.
func (r *PartReader) Skip(n int64) { r.off += n }

// wait returns up to where the content has arrived, which is beyond off, or the
// verdict at the end.
func (r *PartReader) wait() (end int64, err error) {
	if r.off < r.p.size {
		return r.p.arrived(r.ctx, r.off)
	}
	if err := r.p.verdict(r.ctx); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// Close closes the file.
func (r *PartReader) Close() error { return r.f.Close() }
