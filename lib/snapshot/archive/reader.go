package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"ocipipe/lib/magic"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/unzstd"
)

// Default limits of ReaderOptions.
const (
	DefaultMaxMembers = 10000
	DefaultMaxSize    = 64 << 40 // of all files together
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// ReaderOptions bound what an archive may have; 0 stands for the defaults, and less for no
// limit.
type ReaderOptions struct {
	MaxMembers int
	MaxSize    int64 // of all files together, holes included
}

// LimitError says that an archive exceeds a limit.
type LimitError struct {
	What  string // "members" or "bytes"
	Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("more than %d %s, the limit", e.Limit, e.What)
}

// Unwrap returns fault.ErrUnsupported.
func (e *LimitError) Unwrap() error { return fault.ErrUnsupported }

// Reader reads an archive from its beginning to its end.
type Reader struct {
	opts ReaderOptions
	in   *bufio.Reader // the tar
	zstd io.Closer     // nil for a plain tar

	seen   map[string]bool
	size   int64
	runs   int
	member *Member
	left   int64 // of the data of member
	pad    int64
	ended  bool
	begins bool // nothing was read yet
	err    error
}

// NewReader returns a Reader of r. The caller closes it; that does not close r.
func NewReader(ctx context.Context, r io.Reader, o ReaderOptions) (*Reader, error) {
	if o.MaxMembers < 0 {
		o.MaxMembers = math.MaxInt
	}
	if o.MaxSize < 0 {
		o.MaxSize = math.MaxInt64
	}
	if o.MaxMembers == 0 {
		o.MaxMembers = DefaultMaxMembers
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	const size = 256 << 10
	src := &source{Reader: r}
	in := bufio.NewReaderSize(src, size)
	ar := &Reader{opts: o, in: in, seen: map[string]bool{}, begins: true}
	switch begin, err := in.Peek(len(zstdMagic)); {
	case err == io.EOF:
		return nil, explain(fault.Corrupt("not an archive of a snapshot: it has %d bytes", len(begin)), begin)
	case err != nil:
		return nil, err
	case bytes.Equal(begin, zstdMagic):
		z := unzstd.NewReader(ctx, in, nil)
		ar.zstd, ar.in = z, bufio.NewReaderSize(&decompressed{z, ctx, src}, size)
	}
	return ar, nil
}

// explain returns err, or if what begins with head is no archive at all, what it is.
func explain(err error, head []byte) error {
	return magic.Explain(err, head, magic.Snapshot, magic.Tar)
}

// source is the input of an archive.
type source struct {
	io.Reader
	err error // that it returned, but for io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// decompressed is a stream of zstd. Its errors are those of its source, or else about the
// archive.
type decompressed struct {
	io.Reader
	ctx    context.Context
	source *source
}

func (d *decompressed) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	switch {
	case err == nil || err == io.EOF:
	case d.ctx.Err() != nil:
		err = context.Cause(d.ctx)
	case d.source.err != nil:
		err = d.source.err
	case err == io.ErrUnexpectedEOF:
		err = fault.Corrupt("zstd stream is cut short")
	case errors.Is(err, unzstd.ErrUnsupported):
		err = fault.Unsupported("zstd: %w", err)
	default:
		err = fault.Corrupt("zstd: %w", err)
	}
	return n, err
}

// Next returns the next member, whose stored data is then read from r. Data that was not
// read is skipped. At the end of the archive it returns io.EOF; see Ended.
func (r *Reader) Next() (*Member, error) {
	if r.err == nil && r.member != nil {
		_, err := io.Copy(io.Discard, r)
		r.fail(err)
	}
	if r.err == nil {
		r.fail(r.next())
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.member, nil
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *Reader) next() (err error) {
	if _, err := r.in.Discard(int(r.pad)); err != nil {
		return r.short(err, "the end of "+r.member.Name)
	}
	r.member, r.pad = nil, 0
	if r.begins {
		r.begins = false
		head, _ := r.in.Peek(magic.HeadSize) // an error comes again
		defer func(head []byte) {
			if bad := errors.Is(err, fault.ErrCorrupt) || errors.Is(err, fault.ErrUnsupported); bad && len(head) > 0 {
				err = explain(err, head)
			}
		}(bytes.Clone(head))
	}
	var b block
	switch n, err := io.ReadFull(r.in, b[:]); {
	case err == io.EOF:
		return io.EOF // a tar without its end, which Ended tells
	case err != nil:
		return r.short(err, fmt.Sprintf("a header (%d of %d bytes)", n, blockSize))
	}
	if b.isZero() {
		return r.end()
	}
	m, more, err := decode(&b)
	if err != nil {
		return err
	}
	for more {
		if err := r.checkRuns(m); err != nil {
			return err
		}
		if _, err := io.ReadFull(r.in, b[:]); err != nil {
			return r.short(err, "the sparse map of "+m.Name)
		}
		if err := m.addRuns(&b, 0, runsInBlock); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		more = b[moreOff] != 0
	}
	if err := r.checkRuns(m); err != nil {
		return err
	}
	if err := m.checkRuns(); err != nil {
		return err
	}
	return r.begin(m)
}

// checkRuns returns an error if m has too many runs, whose headers take much less room in
// an archive than in memory.
func (r *Reader) checkRuns(m *Member) error {
	if len(m.Runs) > MaxRuns-r.runs {
		return fault.Unsupported("%s: sparse maps of more than %d runs together", m.Name, MaxRuns)
	}
	return nil
}

// begin checks m against the members before and the limits.
func (r *Reader) begin(m *Member) error {
	if r.seen[m.Name] {
		return fault.Corrupt("%s: is there twice", m.Name)
	}
	r.seen[m.Name] = true
	if len(r.seen) > r.opts.MaxMembers {
		return &LimitError{"members", int64(r.opts.MaxMembers)}
	}
	if err := r.Count(m.Name, m.Size); err != nil {
		return err
	}
	r.runs += len(m.Runs)
	r.member, r.left = m, m.Stored
	r.pad = -m.Stored & (blockSize - 1)
	return nil
}

// Count counts the bytes of another file with the content of the member name. It is an
// error if all files together are larger than they may be.
func (r *Reader) Count(name string, size int64) error {
	if size > r.opts.MaxSize-r.size {
		return fmt.Errorf("%s: %w", name, &LimitError{"bytes", r.opts.MaxSize})
	}
	r.size += size
	return nil
}

// end reads what follows a block of zeros: another one, and at most zeros after it.
func (r *Reader) end() error {
	r.ended = true
	var b block
	for {
		switch _, err := io.ReadFull(r.in, b[:]); {
		case err == io.EOF:
			return io.EOF
		case err != nil && err != io.ErrUnexpectedEOF:
			return err
		case !b.isZero():
			return fault.Corrupt("something follows the end of the tar")
		case err != nil:
			return io.EOF // fewer than 512 zeros
		}
	}
}

// Ended reports whether the tar had its end, at least one block of zeros. Where it has
// none, it may have been cut short between two members.
func (r *Reader) Ended() bool { return r.ended }

// Read reads the stored data of the current member, of a sparse file its runs one after
// the other.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.member == nil || r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.in.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err != nil {
		err = r.short(err, "the data of "+r.member.Name)
		r.fail(err)
	}
	return n, err
}

// short returns err, which ended the reading of what. The end of the input is ErrCorrupt.
func (r *Reader) short(err error, what string) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault.Corrupt("cut short in %s", what)
	}
	return err
}

// Close frees the memory of r. Closing twice is harmless.
func (r *Reader) Close() error {
	if r.zstd != nil {
		return r.zstd.Close()
	}
	return nil
}
