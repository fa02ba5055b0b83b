package ext4

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/zeebo/blake3"

	"ocipipe/lib/blockio"
	"ocipipe/lib/tree"
)

// Writer is a tree.Sink that writes a file system. The content of a file goes to
// its place when it is added; all else follows at Close.
type Writer struct {
	opts     Options
	out      Output
	tree     *tree.Tree
	data     *blockio.Writer
	files    cursor  // where the next file goes
	limit    uint64  // files have to end before this block
	short    bool    // they do not: from then on they are only counted
	contents uint64  // blocks of all contents that came
	plan     *layout // of an upper disk
	slab     itemSlab
	added    int
	err      error

	digest *blake3.Hasher // of all contents, and in the end of what files are besides; nil if the UUID is given
	hash   *blake3.Hasher // of the current content; nil if it will not be checked
	hashes map[*item]hash

	uuid     [16]byte
	hashSeed [4]uint32
	seed     seed
	acls     []uint64 // blocks of xattrs

	content contentWriter // of the file that is being added

	dropped warning // xattrs that the format has no place for
	clamped warning // times that it cannot hold
	implied warning // directories of an upper disk
	opaque  bool    // its root is
}

var errClosed = errors.New("file system is already complete")

// NewWriter begins a file system in out. Nothing is valid before Close.
func NewWriter(out Output, opts Options) (*Writer, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	w := &Writer{opts: opts, out: out, tree: tree.New(), data: blockio.NewWriter(out, 0), limit: math.MaxUint64}
	w.content.sifter = tree.Sifter{Data: w.content.data, Hole: w.content.leaveOut, Room: maxHoles}
	if opts.UUID == nil {
		w.digest = blake3.New()
		w.data.Tap(w.digest)
	}
	if opts.Check {
		w.hash, w.hashes = blake3.New(), map[*item]hash{}
	}
	return w, w.begin()
}

// begin decides where files go.
func (w *Writer) begin() (err error) {
	o, blocks := &w.opts, uint64(w.opts.Size)/blockSize
	if o.Upper {
		w.plan, w.files, err = o.inFront(blocks, o.inodes(blocks, 0, 0))
		if err != nil {
			return err
		}
		w.limit = w.plan.geo.blocks
		return nil
	}
	gdt := gdtBlocks(max(blocks, 1), o.Features.descSize())
	room := geometry{gdt: uint32(o.area(gdt))}
	w.limit = uint64(room.gdt) * descsPerBlock(o.Features.descSize()) * blocksPerGroup
	if blocks > 0 {
		w.limit = blocks
	}
	room.groups = uint32(divUp(w.limit, blocksPerGroup))
	w.files = cursor{taken: room.superAreas()}
	return nil
}

// inodes is how many inodes so many blocks have, of which used are in use; free
// blocks are left for more files.
func (o *Options) inodes(blocks, used, free uint64) uint64 {
	switch {
	case o.Inodes != 0:
		return uint64(o.Inodes)
	case o.FreeInodes != nil:
		return used + uint64(*o.FreeInodes)
	case o.Size != 0 && o.BytesPerInode != 0:
		return max(used, blocks*blockSize/uint64(o.BytesPerInode))
	case o.Size != 0:
		return max(used, blocks*blockSize/bytesPerInode(blocks))
	case o.BytesPerInode != 0:
		return used + free*blockSize/uint64(o.BytesPerInode)
	}
	return used + free*blockSize/freeBytesPerInode
}

// fits reports whether there is room for so many blocks of files. Once there was
// none there never is.
func (w *Writer) fits(blocks uint64) bool {
	c := w.files
	c.pieces(blocks, func(area) {})
	w.short = w.short || c.next > w.limit
	return !w.short
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
	kept.Lower = nil // nothing lies below
	kept.Time = w.retime(e.Path, e.Time)
	kept.Content = nil
	var err error
	if kept.Xattrs, err = w.keepXattrs(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	w.below(&kept)
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
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	return nil
}

// check tells whether such a file system can hold e.
func (w *Writer) check(e *tree.Entry) error {
	if err := tree.CheckPath(e.Path); err != nil {
		return err
	}
	if err := w.checkForm(e); err != nil {
		return err
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
		return w.checkFile(e)
	case tree.Dir, tree.Fifo, tree.Socket:
	default:
		return fmt.Errorf("unknown type %d", e.Type)
	}
	return nil
}

func (w *Writer) checkFile(e *tree.Entry) error {
	if err := checkExtents(e); err != nil {
		return err
	}
	if n := dataBlocks(e); n >= math.MaxUint32/sectorBlocks && !w.opts.Features.has(hugeFile) {
		return fmt.Errorf("%d blocks: without huge_file the format ends at 2 TiB", n)
	}
	return nil
}

// checkForm refuses what is not for this kind of file system.
func (w *Writer) checkForm(e *tree.Entry) error {
	switch {
	case e.IsLower() || e.Lower != nil && w.opts.Upper:
		return fmt.Errorf("hard link to %s in a layer below: overlayfs has none between layers", e.Lower.Targets[0])
	case w.opts.Upper:
		return nil
	case e.IsWhiteout():
		return fmt.Errorf("whiteout: %w", ErrNeedsUpper)
	case e.IsOpaque():
		return fmt.Errorf("opaque directory: %w", ErrNeedsUpper)
	}
	return nil
}

// retime applies the options about times to t, and what the format can hold.
func (w *Writer) retime(path string, t tree.Time) tree.Time {
	if w.opts.Mtime != nil {
		t = *w.opts.Mtime
	}
	if c := w.opts.Clamp; c != nil && t.Compare(*c) > 0 {
		t = *c
	}
	switch {
	case t.Sec < minTime:
		w.clamped.note(path)
		return tree.Time{Sec: minTime}
	case t.Sec > maxTime:
		w.clamped.note(path)
		return tree.Time{Sec: maxTime, Nsec: maxNsec}
	}
	return t
}

// keepXattrs are the xattrs of e as the file system will show them, those that it can
// hold.
func (w *Writer) keepXattrs(e *tree.Entry) ([]tree.Xattr, error) {
	kept := make([]tree.Xattr, 0, len(e.Xattrs))
	for _, x := range e.Xattrs {
		if w.drops(x) {
			w.dropped.note(e.Path + ": xattr " + x.Name)
			continue
		}
		if index, _, _ := splitXattr(x.Name); isACL(index) {
			var err error
			if x.Value, err = shownACL(x.Value); err != nil {
				return nil, fmt.Errorf("xattr %s: %w", x.Name, err)
			}
			if x.Value == "" {
				continue
			}
		}
		kept = append(kept, x)
	}
	return kept, nil
}

// drops reports whether x is left out: the format has no number for its prefix,
// or it would be read as a mark of a layer that nobody made.
func (w *Writer) drops(x tree.Xattr) bool {
	_, _, ok := splitXattr(x.Name)
	return !ok || strings.HasPrefix(x.Name, tree.MarkPrefix) || !w.opts.Upper && x.Name == tree.Opaque.Name
}

// Close completes the file system, and checks it if that was asked for. It does
// not sync or close the output.
func (w *Writer) Close() error {
	if w.err == errClosed {
		return nil
	}
	if w.err == nil {
		w.err = w.finish()
	}
	if w.err != nil {
		w.Abort(w.err)
		return w.err
	}
	w.err = errClosed
	return nil
}

// Abort gives the file system up.
func (w *Writer) Abort(cause error) {
	if w.err == nil {
		w.err = cause
	}
	w.data.Flush() // nothing writes behind the back of the caller any more
}

// warn says once for each kind what is not as it was.
func (w *Writer) warn() {
	if w.opts.Warn == nil {
		return
	}
	if w.dropped.count > 0 {
		w.opts.Warn(w.dropped.text("left out"))
	}
	if w.clamped.count > 0 {
		w.opts.Warn(w.clamped.text("its time is outside the years 1901 to 2446 and becomes the nearest that ext4 has"))
	}
	if w.opaque {
		w.opts.Warn("the root is opaque: overlayfs shows what is below it all the same")
	}
	if w.implied.count > 0 {
		w.opts.Warn(w.implied.text("a directory that is only implied; 0755 of root hide what it is below"))
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

func (n *warning) text(what string) string {
	s := n.first + ": " + what
	if n.count > 1 {
		s += fmt.Sprintf(" (and %d more)", n.count-1)
	}
	return s
}
