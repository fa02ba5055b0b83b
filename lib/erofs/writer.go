package erofs

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

// ErrNeedsLayer is wrapped by the errors about entries that only the image of a
// layer can hold.
var ErrNeedsLayer = errors.New("only the image of a layer can hold it")

// DefaultBlockSize is the page size of most machines, which the kernel can mount
// from its first EROFS on.
const DefaultBlockSize = 4096

// Options say what image to write.
type Options struct {
	Layer     bool         // keep whiteouts and other marks of a layer; regular files lie in whole blocks
	BlockSize int          // a power of two from 512 to 65536; 0: DefaultBlockSize
	KeepZeros bool         // files that are not sparse stay so; otherwise long zeros in them become holes
	Label     string       // volume name, at most 15 bytes
	UUID      *[16]byte    // nil: from the content
	Mtime     *tree.Time   // of every file, in place of its own
	Clamp     *tree.Time   // later times become this
	BuildTime *int64       // when the image was built, in seconds; nil: not stated
	SpoolDir  string       // for the ends of files, many at a time; "": $TMPDIR
	Check     bool         // read the image back and compare it with what was added
	Warn      func(string) // for what is left out; nil: nobody wants to know

	// MaxHoleBytes bounds what sparse files may cost beyond their data, all together:
	// maps of chunks, and zeros where a chunk holds data and a hole. 0: no limit.
	MaxHoleBytes int64

	// NoDeviceTable is for WriteFsmeta: the layers are the continuation of the one
	// device on which the image lies, and not devices of their own.
	NoDeviceTable bool
}

// Validate tells whether an image can have these options.
func (o *Options) Validate() error {
	if n := o.BlockSize; n != 0 && (bits.OnesCount(uint(n)) != 1 || n < 1<<minBlockBits || n > 1<<maxBlockBits) {
		return fmt.Errorf("block size %d is not a power of two from %d to %d", n, 1<<minBlockBits, 1<<maxBlockBits)
	}
	if len(o.Label) > labelMax || strings.IndexByte(o.Label, 0) >= 0 {
		return fmt.Errorf("label %q does not fit: at most %d bytes, none of them 0", o.Label, labelMax)
	}
	return nil
}

// Output is where an image goes: a file that is empty and can be read back. It is
// written from several goroutines.
type Output interface {
	io.WriterAt
	io.ReaderAt
}

// Writer is a tree.Sink that writes an image. The whole blocks of a file's
// content go into the image when it is added; names, attributes and the ends of
// files follow at Close.
type Writer struct {
	opts  Options
	bs    int64
	out   Output
	tree  *tree.Tree
	data  *blockio.Writer
	tail  *tails
	slab  itemSlab
	added int
	err   error

	digest *blake3.Hasher // of the image behind the head; nil if the UUID is given
	hash   *blake3.Hasher // of the current content; nil if it will not be checked
	hashes map[*item]hash

	devices []Layer // where contents are, in WriteFsmeta

	content contentWriter  // of the file that is being added
	whole   [1]tree.Extent // its extents, if it is not sparse

	holes   int64   // as MaxHoleBytes counts
	dropped warning // xattrs that the format has no place for
}

var errClosed = errors.New("image is already complete")

// NewWriter begins an image in out. Nothing is valid before Close.
func NewWriter(out Output, opts Options) (*Writer, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.BlockSize == 0 {
		opts.BlockSize = DefaultBlockSize
	}
	w := &Writer{
		opts: opts,
		bs:   int64(opts.BlockSize),
		out:  out,
		tree: tree.New(),
		tail: &tails{dir: opts.SpoolDir},
	}
	w.content.sifter = tree.Sifter{Data: w.content.put, Hole: w.content.leaveOut, Room: maxHoles}
	w.beginAt(headEnd(w.bs, 0))
	if opts.Check {
		w.hash, w.hashes = blake3.New(), map[*item]hash{}
	}
	return w, nil
}

// beginAt makes off the end of the head.
func (w *Writer) beginAt(off int64) {
	w.data = blockio.NewWriter(w.out, off)
	if w.opts.UUID == nil {
		w.digest = blake3.New()
		w.data.Tap(w.digest)
	}
}

// Add takes e, and reads its content.
func (w *Writer) Add(e *tree.Entry) error {
	if w.err == nil {
		w.err = w.add(e)
	}
	return w.err
}

func (w *Writer) add(e *tree.Entry) error {
	if err := w.check(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	kept := *e
	if !w.opts.Layer {
		kept.Lower = nil // nothing lies below
	}
	kept.Time = w.retime(e.Time)
	kept.Xattrs = w.keepXattrs(e)
	kept.Content = nil
	held, err := w.tree.Put(&kept)
	if err != nil {
		return err
	}
	w.added++
	if e.Type != tree.File || e.Hardlink != "" || e.Size == 0 {
		return nil
	}
	it := w.slab.next()
	it.entry, held.Content = held, it
	if err := w.writeContent(it, e.Content); err != nil {
		if over := (*tree.LimitError)(nil); errors.As(err, &over) {
			over.Path = e.Path // names the file itself
			return over
		}
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	return nil
}

// check tells whether an image of this kind can hold e.
func (w *Writer) check(e *tree.Entry) error {
	if err := tree.CheckPath(e.Path); err != nil {
		return err
	}
	if err := w.checkForm(e); err != nil {
		return err
	}
	for _, x := range e.Xattrs {
		if err := checkXattr(x); err != nil && !w.drops(x) {
			return err
		}
	}
	switch e.Type {
	case tree.Link:
		if n := len(e.Link); n == 0 || n > linkMax {
			return fmt.Errorf("link target of %d bytes: the kernel takes 1 to %d", n, linkMax)
		}
	case tree.Char, tree.Block:
		if e.Dev.Major > maxMajor || e.Dev.Minor > maxMinor {
			return fmt.Errorf("device %d:%d: the format ends at %d:%d", e.Dev.Major, e.Dev.Minor, maxMajor, maxMinor)
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

// retime applies the options about times to t.
func (w *Writer) retime(t tree.Time) tree.Time {
	if w.opts.Mtime != nil {
		t = *w.opts.Mtime
	}
	if c := w.opts.Clamp; c != nil && t.Compare(*c) > 0 {
		t = *c
	}
	return t
}

// keepXattrs are the xattrs of e that the image can hold.
func (w *Writer) keepXattrs(e *tree.Entry) []tree.Xattr {
	drops := func(x tree.Xattr) bool { return w.drops(x) || e.Lower != nil && tree.SteersOverlay(x.Name) }
	if !slices.ContainsFunc(e.Xattrs, drops) {
		return e.Xattrs
	}
	kept := make([]tree.Xattr, 0, len(e.Xattrs))
	for _, x := range e.Xattrs {
		if drops(x) {
			w.dropped.note(e.Path + ": xattr " + x.Name)
		} else {
			kept = append(kept, x)
		}
	}
	return kept
}

// drops reports whether x is left out: the format has no number for its prefix,
// or it would be read as a mark of a layer that nobody made.
func (w *Writer) drops(x tree.Xattr) bool {
	_, _, ok := splitXattr(x.Name)
	return !ok || strings.HasPrefix(x.Name, tree.MarkPrefix) || !w.opts.Layer && x.Name == tree.Opaque.Name
}

// Close completes the image, and checks it if that was asked for. It does not
// sync or close the output.
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

// Abort gives the image up and frees what the Writer holds.
func (w *Writer) Abort(cause error) {
	if w.err == nil {
		w.err = cause
	}
	w.release()
}

// release waits for writes that are under way, so that the output may be closed,
// and frees the spool.
func (w *Writer) release() error {
	w.data.Flush() // its error is known already
	return w.tail.close()
}

func (w *Writer) finish() error {
	p := &plan{
		bs: w.bs, layer: w.opts.Layer, implied: w.retime(tree.Time{}), items: make([]*item, 0, w.added+1),
		table: w.slots(), merged: w.devices != nil, retime: w.retime,
	}
	if err := p.make(w.tree, w.data.Offset()/w.bs); err != nil {
		return err
	}
	if err := p.placeDevices(w.devices); err != nil {
		return err
	}
	w.warn(p)
	if err := w.writeMetadata(p); err != nil {
		return err
	}
	if w.opts.Check {
		return w.verify(p)
	}
	return nil
}

// warn says once for each kind what the image does not hold as it was.
func (w *Writer) warn(p *plan) {
	if w.opts.Warn == nil {
		return
	}
	if w.dropped.count > 0 {
		w.opts.Warn(w.dropped.text())
	}
	var marks warning
	for _, it := range p.items {
		e := it.entry
		switch {
		case !p.layer:
		case e.NoChange && it.dir.parent != it:
			marks.note("a directory that is only implied")
		case e.Lower != nil:
			marks.note("a hard link to a layer below")
		case it.dir != nil && it.dir.parent == it && e.IsOpaque():
			marks.note("an opaque root")
		}
	}
	if marks.count > 0 {
		w.opts.Warn(fmt.Sprintf("the kernel's overlayfs alone cannot express %d entries of this layer (%s); a merged image can", marks.count, marks.first))
	}
}

// warning counts what is all told in one line.
type warning struct {
	first string
	count int
}

func (n *warning) note(what string) {
	if n.count == 0 {
		n.first = what
	}
	n.count++
}

func (n *warning) add(m warning) {
	if n.count == 0 {
		n.first = m.first
	}
	n.count += m.count
}

func (n *warning) text() string {
	s := n.first + ": left out"
	if n.count > 1 {
		s += fmt.Sprintf(", and %d more", n.count-1)
	}
	return s
}
