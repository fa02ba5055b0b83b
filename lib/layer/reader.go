package layer

import (
	"bufio"
	"context"
	_ "crypto/sha256" // an algorithm of diff-ids
	_ "crypto/sha512" // another
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"runtime"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/compression"
	"ocipipe/lib/magic"
	"ocipipe/lib/tree"
	"ocipipe/lib/unzstd"
)

// Options say how a layer is read.
type Options struct {
	// DiffID is the digest that the uncompressed tar must have, with all bytes that
	// follow the archive. If it is "" nothing is hashed.
	DiffID digest.Digest

	// Verified is a digest of the input that the input checks by itself, or "": if it is
	// wrong, a Read fails, at the latest where it would return io.EOF. A layer that is not
	// compressed, and whose DiffID is Verified, is not hashed a second time.
	Verified digest.Digest

	// Tap gets every byte of the uncompressed tar, and all bytes that follow the archive,
	// from another goroutine, unless it is nil. It has all of them once Next has returned
	// io.EOF, and gets none after Close. Its errors are ignored. It does not go with a
	// DiffID.
	Tap io.Writer

	// Parallel is how many layers are read at the same time, including this one; 0
	// means 1. The remaining processors decode gzip ahead.
	Parallel int

	// AllowUnterminated accepts a tar without the blocks that end an archive. With a
	// DiffID such a tar is accepted too.
	AllowUnterminated bool

	// AllowZeroDevice drops character devices 0:0, which would become whiteouts,
	// instead of refusing the layer.
	AllowZeroDevice bool

	// Limits apply to paths, before they are looked up, and to entries that are held
	// back: the marks of the layer, links whose targets have not come yet, and
	// pseudo-links of aufs, whose contents lie in SpoolDir ("" is $TMPDIR). All other
	// limits need Open or [tree.Limit].
	Limits   tree.Limits
	SpoolDir string

	// Piped says that another process writes the layer while it is read: if the layer
	// ends early, the error refers to the message of that process.
	Piped bool

	// Window is shared by layers that are decompressed at the same time: only one of
	// them has the memory for a zstd window above 8 MiB, and the others wait. If it is
	// nil the layer has its own, or those that Merge reads share one. Two layers that one
	// goroutine reads in turns must not share it.
	Window *unzstd.Window

	Warn func(msg string) // may be nil

	// GivesAway lets the caller keep and change the entries, as tree.Tree.Take does, whose
	// inodes are then in memory only once. It must not change Type, Link and Lower of one,
	// and the reader repeats other changes in hard links to it.
	GivesAway bool

	meter *tree.Meter     // shared by all layers of one tree; nil for one of this layer's own
	works context.Context // ends the wait for Window, as Close does; may be nil
}

// Reader is a tree.Source over one layer, in its own order, with the marks of a
// layer. Contents can be written once, before the next call of Next.
type Reader struct {
	opts     Options
	tar      *tarReader
	below    io.Closer // of tar.in
	unpacked io.ReadCloser
	stop     func()    // ends the wait for the window
	hash     hash.Hash // of the tar; nil if nothing is hashed
	names    *names
	queue    []*tree.Entry // the entries for the last entry of the tar
	next     int           // in queue
	entry    tree.Entry    // of the tar's current entry, unless it is given away
	given    tree.EntrySlab
	content  *content  // of the tar's current entry, if it has not been read yet
	contents []content // for the next entries, allocated together
	finished bool
	closed   atomic.Bool
	err      error
	dropped  int // xattrs that a layer may not have
	aufs     aufsHold
}

// NewReader starts to read the layer r, a tar that may be compressed with gzip or zstd.
// Goroutines may decompress and hash it until Close, which the caller calls. The caller also
// closes r.
func NewReader(r io.Reader, opts Options) (*Reader, error) {
	if opts.meter == nil {
		opts.meter = tree.NewMeter(opts.Limits)
	}
	l := &Reader{opts: opts, aufs: aufsHold{meter: tree.NewMeter(opts.Limits)}}
	if opts.DiffID != "" {
		if err := opts.DiffID.Validate(); err != nil {
			return nil, fmt.Errorf("diff-id %s: %w", opts.DiffID, err)
		}
	}
	l.tar = &tarReader{}
	l.tar.file, l.tar.base = inFile(r)
	var err error
	var kind compression.Kind
	works := opts.works
	if works == nil {
		works = context.Background()
	}
	works, l.stop = context.WithCancel(works)
	if l.unpacked, kind, err = decompressAhead(works, r, decodersAhead(runtime.GOMAXPROCS(0), opts.Parallel), opts.Window); err != nil {
		l.stop()
		return nil, err
	}
	if kind != compression.Plain {
		l.tar.file = nil
	}
	tap := opts.Tap
	if opts.DiffID != "" && (kind != compression.Plain || opts.DiffID != opts.Verified) {
		l.hash = opts.DiffID.Algorithm().Hash()
		tap = l.hash
	}
	if l.tar.file != nil && tap == nil {
		in := &inTurns{r: l.unpacked}
		l.tar.in, l.below = bufio.NewReaderSize(in, inTurnsBuf), in
	} else {
		in := blockio.NewAhead(l.unpacked, tap)
		l.tar.in, l.below = in, in
	}
	l.names = newNames(opts.meter, func(e *tree.Entry) { l.queue = append(l.queue, e) })
	l.names.givesAway = opts.GivesAway
	return l, nil
}

// Close stops reading. After it has returned nothing reads the input, which it does not
// close. It waits for a Read of the input that is running; if that may block, the caller
// must close the input first. Close may be called while another goroutine waits in Next or
// in WriteTo of a content, which then return an error.
func (l *Reader) Close() error {
	l.closed.Store(true)
	l.stop()
	l.below.Close()
	return errors.Join(l.unpacked.Close(), l.aufs.close())
}

// Next returns the next entry. It returns io.EOF only after it has verified the diff-id and
// found the end of the archive.
func (l *Reader) Next() (*tree.Entry, error) {
	l.content = nil
	for l.err == nil && !l.closed.Load() && l.next == len(l.queue) {
		l.queue, l.next = l.queue[:0], 0
		if len(l.names.woken) > 0 {
			l.names.emitWoken()
		} else if l.finished {
			l.err = l.names.rest()
		} else if err := l.step(); err != nil {
			l.err = l.located(err)
		}
	}
	switch {
	case l.closed.Load():
		return nil, tree.ErrClosed
	case l.err != nil:
		return nil, l.err
	}
	l.next++
	return l.queue[l.next-1], nil
}

// located adds to an early end of the layer where it is, and where to read the reason. What
// was no tar from its beginning is named.
func (l *Reader) located(err error) error {
	if bad := errors.Is(err, ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF); bad && !l.tar.found && len(l.tar.head) > 0 {
		if named := magic.Explain(err, l.tar.head, magic.Tar); named != err {
			return named
		}
	}
	end, ok := err.(*EndError)
	if err == io.ErrUnexpectedEOF {
		end, ok = &EndError{what: fmt.Sprintf("layer is cut short at byte %d of the tar", l.tar.off)}, true
	}
	if ok && l.opts.Piped {
		end = &EndError{end.Unterminated, end.what + " (see the message of the stage that wrote it)"}
	}
	if ok {
		return end
	}
	return err
}

// EndError says that a layer ends too early.
type EndError struct {
	// Unterminated says that only the blocks that end an archive are missing. Such a
	// layer can be read with [Options].AllowUnterminated, or with the right DiffID.
	Unterminated bool

	what string
}

func (e *EndError) Error() string { return e.what }
func (e *EndError) Unwrap() error { return io.ErrUnexpectedEOF }

// step reads the next entry of the tar and queues its entries of the stream, of which there
// may be none.
func (l *Reader) step() error {
	h, err := l.tar.next()
	if err == io.EOF {
		return l.finish()
	}
	if err != nil {
		return err
	}
	return l.take(h)
}

// finish checks that the layer is complete, and releases links whose targets lie below.
func (l *Reader) finish() error {
	l.finished = true
	terminated := l.tar.ended
	if err := l.tar.drain(); err != nil {
		return err
	}
	if l.hash != nil {
		if got := digest.NewDigest(l.opts.DiffID.Algorithm(), l.hash); got != l.opts.DiffID {
			return fmt.Errorf("%w: diff-id is %s, expected %s", ErrCorrupt, got, l.opts.DiffID)
		}
	} else if !terminated && l.opts.DiffID == "" && !l.opts.AllowUnterminated {
		return l.unterminated()
	}
	if l.dropped > 1 && l.opts.Warn != nil {
		l.opts.Warn(fmt.Sprintf("%d reserved extended attributes dropped in all", l.dropped))
	}
	l.names.finish()
	return nil
}

func (l *Reader) unterminated() error {
	if l.tar.off == 0 {
		return &EndError{what: "the input is empty"}
	}
	return &EndError{true, fmt.Sprintf("layer is cut short at byte %d of the tar: it has no end-of-archive blocks", l.tar.off)}
}

// take queues the entries of the stream for h.
func (l *Reader) take(h *header) error {
	path, mark, err := cleanName(h.name)
	if err != nil {
		return fmt.Errorf("%w: entry %q: %w", ErrCorrupt, h.name, err)
	}
	if err := l.opts.Limits.CheckDepth(path); err != nil {
		return err
	}
	switch mark {
	case ignored:
		return nil
	case whiteout:
		err = l.names.whiteout(path)
	case opaque:
		err = l.names.opaque(path)
	case pseudo:
		err = l.takePseudo(h, path)
	default:
		err = l.takeFile(h, path)
	}
	var limit *tree.LimitError
	if err == nil || errors.As(err, &limit) && limit.Path == path {
		return err // it names the path
	}
	return fmt.Errorf("%s: %w", path, err)
}

func (l *Reader) takeFile(h *header, path string) error {
	if h.kind == typeHardlink {
		target, err := l.linkTarget(h)
		if err != nil {
			return err
		}
		if isPseudo(target) {
			return l.names.linkPseudo(path, target)
		}
		return l.names.link(path, target)
	}
	e := &l.entry
	if dropped, err := l.describe(e, h, path); err != nil || dropped {
		return err
	}
	if l.opts.GivesAway {
		e = l.given.Copy(e)
	}
	return l.names.add(e)
}

// takePseudo keeps an entry below aufsLinks.
func (l *Reader) takePseudo(h *header, path string) error {
	if h.kind == typeHardlink {
		target, err := l.linkTarget(h)
		if err != nil || isPseudo(target) {
			return err
		}
		return l.names.holdLink(path, target)
	}
	e := new(tree.Entry)
	if dropped, err := l.describe(e, h, path); err != nil || dropped || e.Type == tree.Dir {
		return err
	}
	if err := l.aufs.keep(e, l.opts.SpoolDir); err != nil {
		return err
	}
	l.names.hold(e)
	return nil
}

func (l *Reader) linkTarget(h *header) (string, error) {
	target, err := cleanPath(h.link)
	if err != nil {
		return "", fmt.Errorf("%w: hard link to %q: %w", ErrCorrupt, h.link, err)
	}
	if err := l.opts.Limits.CheckDepth(target); err != nil {
		return "", fmt.Errorf("hard link to %w", err)
	}
	return target, nil
}

// describe makes e the entry of path that h, which is not a hard link, describes. It may
// report that the entry is dropped.
func (l *Reader) describe(e *tree.Entry, h *header, path string) (dropped bool, err error) {
	*e = tree.Entry{Path: path}
	if err := l.setType(h, e); err != nil {
		return false, err
	}
	if e.IsWhiteout() {
		return true, l.zeroDevice()
	}
	return false, l.setAttributes(h, e)
}

// setType sets the type of e, and the fields that belong to that type, from h.
func (l *Reader) setType(h *header, e *tree.Entry) error {
	switch h.kind {
	case typeFileV7:
		if h.name[len(h.name)-1] == '/' {
			e.Type = tree.Dir
			return nil
		}
		l.setFile(h, e)
	case typeFile, typeContiguous, typeSparse:
		l.setFile(h, e)
	case typeSymlink:
		e.Type, e.Link = tree.Link, h.link
		if h.link == "" || len(h.link) > tree.MaxPath {
			return fmt.Errorf("%w: symbolic link with a target of %d bytes", ErrCorrupt, len(h.link))
		}
	case typeChar:
		e.Type, e.Dev = tree.Char, h.dev
	case typeBlock:
		e.Type, e.Dev = tree.Block, h.dev
	case typeDir:
		e.Type = tree.Dir
	case typeFifo:
		e.Type = tree.Fifo
	default:
		return fmt.Errorf("%w: tar entry of type %q", ErrUnsupported, h.kind)
	}
	return nil
}

func (l *Reader) setFile(h *header, e *tree.Entry) {
	e.Type, e.Size, e.Extents = tree.File, h.size, h.sparse
	if e.DataSize() > 0 {
		l.content = l.newContent()
		e.Content = l.content
		tree.LimitExtents(e)
	}
}

// content is the data of one entry of the tar. It can be read once, while the entry is the
// current one.
type content struct{ l *Reader }

// newContent returns a new content. It allocates many at a time.
func (l *Reader) newContent() *content {
	if len(l.contents) == 0 {
		l.contents = make([]content, 256)
	}
	c := &l.contents[0]
	l.contents = l.contents[1:]
	c.l = l
	return c
}

func (c *content) WriteTo(w io.Writer) (int64, error) {
	if c.l.content != c || c.l.closed.Load() {
		return 0, tree.ErrGone
	}
	c.l.content = nil
	n, err := c.l.tar.WriteTo(w)
	return n, c.l.located(err)
}

func (l *Reader) zeroDevice() error {
	if l.opts.AllowZeroDevice {
		return nil
	}
	return ErrZeroDevice
}

// ErrZeroDevice is in the error about a character device 0:0 in a layer; see
// [Options].AllowZeroDevice. It wraps ErrCorrupt.
var ErrZeroDevice = fmt.Errorf("%w: character device 0:0, which would hide what lies below", ErrCorrupt)

// setAttributes checks the attributes that every type has, and sets them.
func (l *Reader) setAttributes(h *header, e *tree.Entry) error {
	for _, id := range []int64{h.uid, h.gid} {
		if id < 0 || id >= math.MaxUint32 { // 2^32-1 is chown's "leave it"
			return fmt.Errorf("%w: owner %d:%d, not within 0 to 4294967294", ErrCorrupt, h.uid, h.gid)
		}
	}
	e.UID, e.GID = uint32(h.uid), uint32(h.gid)
	e.Mode = uint16(h.mode & 0o7777)
	e.Time = h.mtime
	l.keepXattrs(h, e)
	return nil
}
