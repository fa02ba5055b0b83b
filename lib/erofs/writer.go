package erofs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// ErrNeedsLayer is wrapped by the errors about entries that only the image of a
// layer can hold.
var ErrNeedsLayer = errors.New("only the image of a layer can hold it")

// DefaultBlockSize is the page size of most machines. Every kernel with EROFS can mount
// blocks of this size there.
const DefaultBlockSize = 4096

// DefaultMaxHoleBytes is more than the holes of real files take.
const DefaultMaxHoleBytes = 4 << 30

// Options are for NewWriter and WriteFsmeta.
type Options struct {
	Layer     bool         // keep whiteouts and other marks of a layer; regular files lie in whole blocks
	BlockSize int          // a power of two from 512 to 65536; 0: DefaultBlockSize
	KeepZeros bool         // do not make holes of long runs of zeros in files that are not sparse
	Label     string       // volume name, at most 15 bytes
	UUID      *[16]byte    // nil: from the content
	Mtime     *tree.Time   // of every file, in place of its own
	Clamp     *tree.Time   // later times become this
	BuildTime *int64       // when the image was built, in seconds since 1970; nil: not stored
	SpoolDir  string       // for the ends of files, many at a time; "": $TMPDIR
	Check     bool         // read the image back and compare it with what was added
	Warn      func(string) // called with a warning about what the image cannot hold; may be nil

	// WarnKernel is called, in place of Warn, with what a kernel needs that mounts the image,
	// if that is more than most have. With nil, Warn is called.
	WarnKernel func(string)

	Compression *Compression // of contents; nil: none

	// MaxHoleBytes bounds the bytes that all sparse files together may take beyond their
	// data: maps of chunks, and zeros where a chunk holds data and a hole. 0 stands for
	// DefaultMaxHoleBytes; what is negative is no limit.
	MaxHoleBytes int64

	// TakesEntries makes Add keep entries instead of copies of them: the source gives them
	// away, see tree.Tree.Take.
	TakesEntries bool

	// ForMerging says that the image of a layer is only going to be merged: no warning of what
	// overlayfs alone cannot express, nor of the kernel that it needs.
	ForMerging bool

	// NoDeviceTable is for WriteFsmeta: the layers follow the image on its own device, and
	// are not devices of their own.
	NoDeviceTable bool

	// Counts gets what is in the image, once it is complete; nil if nobody wants to know.
	Counts *tree.Counts
}

// Validate returns an error if the options are not valid.
func (o *Options) Validate() error {
	if n := o.BlockSize; n != 0 && (bits.OnesCount(uint(n)) != 1 || n < 1<<disk.MinBlockBits || n > 1<<disk.MaxBlockBits) {
		return fmt.Errorf("block size %d is not a power of two from %d to %d", n, 1<<disk.MinBlockBits, 1<<disk.MaxBlockBits)
	}
	if len(o.Label) > disk.MaxLabel || strings.IndexByte(o.Label, 0) >= 0 {
		return fmt.Errorf("label %q does not fit: at most %d bytes, none of them 0", o.Label, disk.MaxLabel)
	}
	if o.Compression != nil {
		bs := int64(cmp.Or(o.BlockSize, DefaultBlockSize))
		c := o.Compression.complete(bs)
		return c.validate(bs)
	}
	return nil
}

// Output is the file to which an image is written. It is empty at the beginning and can be
// read back. A Writer calls it from several goroutines.
type Output interface {
	io.WriterAt
	io.ReaderAt
}

// Writer is a tree.Sink that writes an image. Add writes the whole blocks of a file's
// content; Close writes names, attributes and the ends of files.
type Writer struct {
	ctx   context.Context
	opts  Options
	bs    int64
	out   Output
	tree  *tree.Tree
	data  *blockio.Writer
	tail  *tails
	items tree.Table[item]
	added int
	err   error

	digest  *xxh3.Hasher            // over the image after the head; nil if the UUID is given
	hash    *xxh3.Hasher            // of the current content; nil without Options.Check
	written map[*tree.Entry]written // files that were written, for the check; nil without it

	compressor *compressor // of contents; nil if the image is not compressed

	devices   []merge.Layer         // where contents are, in WriteFsmeta
	indexRoom map[*read.Image]int64 // bytes that the lists of extents on them may have

	content contentWriter  // of the file that is being added
	whole   [1]tree.Extent // its extents, if it is not sparse

	holes   int64      // bytes so far that MaxHoleBytes limits
	dropped tree.Tally // xattrs that the format cannot store
}

var (
	errClosed  = errors.New("image is already complete") // in err after Close
	errAborted = errors.New("image was given up")
)

// NewWriter begins an image in out, which is not valid before Close. When ctx is done, Add
// and Close stop, also in the middle of a file, and return its cause. The caller calls
// Close or Abort, and closes out.
func NewWriter(ctx context.Context, out Output, opts Options) (*Writer, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.BlockSize == 0 {
		opts.BlockSize = DefaultBlockSize
	}
	opts.MaxHoleBytes = cmp.Or(opts.MaxHoleBytes, DefaultMaxHoleBytes)
	w := &Writer{
		ctx:  ctx,
		opts: opts,
		bs:   int64(opts.BlockSize),
		out:  out,
		tree: tree.New(),
		tail: &tails{dir: opts.SpoolDir},
	}
	w.content.init(w)
	if opts.Compression != nil {
		w.compressor = newCompressor(w, opts.Compression.complete(w.bs))
	}
	w.beginAt(headEnd(w.bs, 0))
	if opts.Check {
		w.hash, w.written = xxh3.New(), map[*tree.Entry]written{}
	}
	return w, nil
}

// beginAt begins the file data at off, the end of the head.
func (w *Writer) beginAt(off int64) {
	w.data = blockio.NewWriter(w.out, off)
	if w.opts.UUID == nil {
		w.digest = xxh3.New()
		w.data.Tap(w.digest)
	}
}

// Add adds e to the image. When it returns, it has read the content.
func (w *Writer) Add(e *tree.Entry) error {
	if w.err == nil {
		w.err = w.add(e)
	}
	return w.err
}

// stopped returns the cause of the context if that is done, else nil.
func (w *Writer) stopped() error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return nil
}

func (w *Writer) add(e *tree.Entry) error {
	if err := w.stopped(); err != nil {
		return err
	}
	if err := w.check(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	path, content := e.Path, e.Content
	hasContent := e.Type == tree.File && e.Hardlink == "" && e.Size > 0
	kept := e
	if !w.opts.TakesEntries || e.Lower != nil {
		copied := *e
		kept = &copied
	}
	switch {
	case !w.opts.Layer:
		kept.Lower = nil // nothing lies below
	case e.Lower != nil: // several entries that were given away may share it
		lower := *e.Lower
		kept.Lower = &lower
	}
	kept.Time = w.timeOf(e.Time)
	kept.Xattrs = w.keepXattrs(e)
	kept.Content, kept.Nlink = nil, 0
	held, err := w.tree.Take(kept)
	if err != nil {
		return err
	}
	w.added++
	if !hasContent {
		return nil
	}
	if err := w.writeContent(path, held, content); err != nil {
		if over := (*tree.LimitError)(nil); errors.As(err, &over) {
			over.Path = path // names the file itself
			return over
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// check returns an error if an image of this kind cannot hold e.
func (w *Writer) check(e *tree.Entry) error {
	if err := tree.CheckPath(e.Path); err != nil {
		return err
	}
	if err := w.checkForm(e); err != nil {
		return err
	}
	for _, x := range e.Xattrs {
		if err := disk.CheckXattr(x); err != nil && !w.drops(x) {
			return err
		}
	}
	switch e.Type {
	case tree.Link:
		if n := len(e.Link); n == 0 || n > disk.MaxLink {
			return fmt.Errorf("link target of %d bytes: the kernel takes 1 to %d", n, disk.MaxLink)
		}
	case tree.Char, tree.Block:
		if e.Dev.Major > disk.MaxMajor || e.Dev.Minor > disk.MaxMinor {
			return fmt.Errorf("device %d:%d: the format ends at %d:%d", e.Dev.Major, e.Dev.Minor, disk.MaxMajor, disk.MaxMinor)
		}
	case tree.File:
		if e.Content == nil && e.DataSize() > 0 {
			return errors.New("comes without its content")
		}
		return checkExtents(e.Extents, e.Size)
	case tree.Dir, tree.Fifo, tree.Socket:
	default:
		return fmt.Errorf("unknown type %d", e.Type)
	}
	return nil
}

// checkForm refuses the marks of a layer in a flat image.
func (w *Writer) checkForm(e *tree.Entry) error {
	switch {
	case w.opts.Layer:
		return nil
	case e.IsWhiteout():
		return fmt.Errorf("whiteout: %w", ErrNeedsLayer)
	case e.IsOpaque():
		return fmt.Errorf("opaque directory: %w", ErrNeedsLayer)
	case e.IsLower():
		return fmt.Errorf("hard link to %s in a layer below: %w", e.Lower.Targets[0], ErrNeedsLayer)
	}
	return nil
}

// timeOf returns t after the options about times.
func (w *Writer) timeOf(t tree.Time) tree.Time {
	return t.Retimed(w.opts.Mtime, w.opts.Clamp)
}

// keepXattrs returns the xattrs of e that the image can hold, and counts the others.
func (w *Writer) keepXattrs(e *tree.Entry) []tree.Xattr {
	drops := func(x tree.Xattr) bool { return w.drops(x) || e.Lower != nil && tree.SteersOverlay(x.Name) }
	if !slices.ContainsFunc(e.Xattrs, drops) {
		return e.Xattrs
	}
	kept := make([]tree.Xattr, 0, len(e.Xattrs))
	for _, x := range e.Xattrs {
		if drops(x) {
			w.dropped.Add(e.Path + ": xattr " + x.Name)
		} else {
			kept = append(kept, x)
		}
	}
	return kept
}

// drops reports whether x is left out: the format has no number for its prefix, or the
// reader would take it for a mark of a layer.
func (w *Writer) drops(x tree.Xattr) bool {
	_, _, ok := disk.SplitXattr(x.Name)
	return !ok || strings.HasPrefix(x.Name, tree.MarkPrefix) || !w.opts.Layer && x.Name == tree.Opaque.Name
}

// Close completes the image, and checks it if Options.Check is set. It does not sync or
// close the output.
func (w *Writer) Close() error {
	if w.err == errClosed {
		return nil
	}
	if w.err == nil {
		w.err = w.finish()
	}
	if err := w.release(); w.err == nil {
		w.err = err
	}
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	return nil
}

// Abort gives up the image, frees the spool and ends the goroutines of the Writer. Add and
// Close then return cause. After a successful Close, Abort does nothing.
func (w *Writer) Abort(cause error) {
	if w.err == nil {
		w.err = cmp.Or(cause, errAborted)
	}
	w.release()
}

// release waits for writes that are under way, so that the output may be closed,
// and frees the spool.
func (w *Writer) release() error {
	if w.compressor != nil {
		w.compressor.end()
	}
	w.data.Flush() // its error is known already
	return w.tail.free()
}

func (w *Writer) finish() error {
	if w.compressor != nil {
		if err := w.compressor.complete(); err != nil {
			return err
		}
	}
	p := &plan{
		bs: w.bs, layer: w.opts.Layer, check: w.opts.Check, implied: w.timeOf(tree.Time{}), items: make([]*item, 0, w.added+1),
		table: &w.items, tableLen: w.slots(), spare: w.spareSlots(), merged: w.devices != nil, timeOf: w.timeOf,
	}
	if w.compressor != nil {
		p.packed = &w.compressor.packed
	} else if p.merged {
		p.lower = &lowerFiles{bs: w.bs, layers: w.devices, room: w.indexRoom, stopped: w.stopped}
		p.packed = p.lower
	}
	if err := w.stopped(); err != nil {
		return err
	}
	if err := p.arrange(w.tree, w.data.Offset()/w.bs); err != nil {
		return err
	}
	if err := p.placeDevices(w.devices); err != nil {
		return err
	}
	w.warn(p)
	if err := w.writeMetadata(p); err != nil {
		return err
	}
	if w.opts.Counts != nil {
		*w.opts.Counts = p.counts()
	}
	if !w.opts.Check {
		return nil
	}
	err := w.verify(p)
	if err != nil { // without its superblock the image is incomplete again
		w.out.WriteAt(make([]byte, disk.SuperSize), disk.SuperOffset)
	}
	return err
}

// warn gives one warning for each kind of thing that the image does not hold as it was.
func (w *Writer) warn(p *plan) {
	warn, warnKernel := w.opts.Warn, w.opts.WarnKernel
	if warnKernel == nil {
		warnKernel = warn
	}
	if text := w.dropped.LeftOut(); text != "" && warn != nil {
		warn(text)
	}
	if w.opts.ForMerging {
		return
	}
	if p.packed != nil && warnKernel != nil {
		if text := p.packed.features().needs(w.bs); text != "" {
			warnKernel(text)
		}
	}
	if warn == nil {
		return
	}
	if text := unmergedMarks(p); text != "" {
		warn(text)
	}
}

// unmergedMarks says what of an image of a layer the kernel cannot merge, or nothing.
func unmergedMarks(p *plan) string {
	var marks tree.Tally
	for _, it := range p.items {
		e := it.entry
		switch {
		case !p.layer:
		case e.NoChange && it.dir.parent != it:
			marks.Add("a directory that is only implied")
		case e.Lower != nil:
			marks.Add("a hard link to a layer below")
		case it.dir != nil && it.dir.parent == it && e.IsOpaque():
			marks.Add("an opaque root")
		}
	}
	if marks.Count == 0 {
		return ""
	}
	entries := "1 entry"
	if marks.Count > 1 {
		entries = fmt.Sprintf("%d entries", marks.Count)
	}
	return fmt.Sprintf("the kernel's overlayfs alone cannot express %s of this layer (%s); a merged image can", entries, marks.First)
}
