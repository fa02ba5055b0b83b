package ext4

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"ocipipe/lib/blockio"
	"ocipipe/lib/ext4/alloc"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// Writer is a tree.Sink that writes a file system. Add writes the content of a file to its
// place; Close writes everything else.
type Writer struct {
	ctx      context.Context
	opts     Options
	out      Output
	tree     *tree.Tree
	data     *blockio.Writer
	files    alloc.Cursor // where the next file goes
	limit    uint64       // files have to end before this block
	short    bool         // a file has not fit: from then on files are only counted
	contents uint64       // blocks of all contents, including those that were replaced
	plan     *layout      // of an upper disk
	inodes   inodeTable
	added    int // entries
	err      error

	digest *xxh3.Hasher         // over all contents, and in the end all attributes; nil if the UUID is given
	hash   *xxh3.Hasher         // of the current content; nil without Options.Check
	hashes map[*tree.Entry]hash // of contents, by inode

	uuid     [16]byte
	hashSeed [4]uint32
	seed     disk.Seed
	acls     []uint64 // blocks of xattrs
	dirBlock [disk.BlockSize]byte

	content contentWriter // of the file that is being added

	dropped tree.Tally // xattrs that the format has no place for
	clamped tree.Tally // times that it cannot hold
	implied tree.Tally // directories of an upper disk
	opaque  bool       // its root is
}

var errClosed = errors.New("file system is already complete")

// NewWriter begins a file system in out, which is not valid before Close. When ctx is done,
// Add and Close stop, also in the middle of a file, and return its cause. The caller calls
// Close or Abort, and closes out.
func NewWriter(ctx context.Context, out Output, opts Options) (*Writer, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	w := &Writer{ctx: ctx, opts: opts, out: out, tree: tree.New(), data: blockio.NewWriter(out, 0), limit: math.MaxUint64}
	w.content.init(w)
	if opts.UUID == nil {
		w.digest = xxh3.New()
		w.data.Tap(w.digest)
	}
	if opts.Check {
		w.hash, w.hashes = xxh3.New(), map[*tree.Entry]hash{}
	}
	return w, w.begin()
}

// begin decides from which block on files are written.
func (w *Writer) begin() (err error) {
	o, blocks := &w.opts, uint64(w.opts.Size)/disk.BlockSize
	if o.Upper {
		w.plan, w.files, err = o.inFront(blocks, o.inodes(blocks, 0, 0))
		if err != nil {
			return err
		}
		w.limit = w.plan.geo.blocks
		return nil
	}
	gdt := disk.DescBlocks(max(blocks, 1), o.Features.descSize())
	room := geometry{gdt: uint32(o.area(gdt))}
	w.limit = uint64(room.gdt) * disk.DescsPerBlock(o.Features.descSize()) * disk.BlocksPerGroup
	if blocks > 0 {
		w.limit = blocks
	}
	room.groups = uint32(disk.DivUp(w.limit, disk.BlocksPerGroup))
	w.files = alloc.Cursor{Taken: room.superAreas()}
	return nil
}

// inodes is how many inodes a file system of so many blocks has, if used inodes are in use
// and free blocks are left for more files.
func (o *Options) inodes(blocks, used, free uint64) uint64 {
	switch {
	case o.Inodes != 0:
		return uint64(o.Inodes)
	case o.FreeInodes != nil:
		return used + uint64(*o.FreeInodes)
	case o.Size != 0 && o.BytesPerInode != 0:
		return max(used, blocks*disk.BlockSize/uint64(o.BytesPerInode))
	case o.Size != 0:
		return max(used, blocks*disk.BlockSize/bytesPerInode(blocks))
	case o.BytesPerInode != 0:
		return used + free*disk.BlockSize/uint64(o.BytesPerInode)
	}
	return used + free*disk.BlockSize/freeBytesPerInode
}

// fits reports whether so many more blocks of files fit. Once it has returned false, it
// always does.
func (w *Writer) fits(blocks uint64) bool {
	c := w.files
	c.Pieces(blocks, func(alloc.Area) {})
	w.short = w.short || c.Next > w.limit
	return !w.short
}

// Add adds e to the file system. When it returns, it has read the content.
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
	kept := *e
	kept.Lower = nil // nothing lies below
	kept.Time = w.storableTime(e.Path, e.Time)
	kept.Content, kept.Nlink = nil, 0
	var err error
	if kept.Xattrs, err = w.keepXattrs(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	w.moveToUpper(&kept)
	held, err := w.tree.Put(&kept)
	if err != nil {
		return err
	}
	w.added++
	if e.Type != tree.File || e.Hardlink != "" || e.Size == 0 {
		return nil
	}
	if err := w.writeContent(held, e.Content); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	return nil
}

// check returns an error if a file system of this kind cannot hold e.
func (w *Writer) check(e *tree.Entry) error {
	if err := tree.CheckPath(e.Path); err != nil {
		return err
	}
	if err := w.checkForm(e); err != nil {
		return err
	}
	switch e.Type {
	case tree.Link:
		if n := len(e.Link); n == 0 || n > disk.LinkMax {
			return fmt.Errorf("link target of %d bytes: the kernel takes 1 to %d", n, disk.LinkMax)
		}
	case tree.Char, tree.Block:
		if e.Dev.Major > disk.MaxMajor || e.Dev.Minor > disk.MaxMinor {
			return fmt.Errorf("device %d:%d: the format ends at %d:%d", e.Dev.Major, e.Dev.Minor, disk.MaxMajor, disk.MaxMinor)
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
	if n := dataBlocks(e); n >= math.MaxUint32/disk.SectorBlocks && !w.opts.Features.has(hugeFile) {
		return fmt.Errorf("%d blocks: without huge_file the format ends at 2 TiB", n)
	}
	return nil
}

// checkForm refuses marks of a layer that this kind of file system cannot hold.
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

// storableTime returns t after the options about times or, if the format cannot store that,
// the nearest time that it can store.
func (w *Writer) storableTime(path string, t tree.Time) tree.Time {
	switch t = t.Retimed(w.opts.Mtime, w.opts.Clamp); {
	case t.Sec < disk.MinTime:
		w.clamped.Add(path)
		return tree.Time{Sec: disk.MinTime}
	case t.Sec > disk.MaxTime:
		w.clamped.Add(path)
		return tree.Time{Sec: disk.MaxTime, Nsec: disk.MaxNsec}
	}
	return t
}

// keepXattrs returns the xattrs of e that the file system can hold, in the form in which it
// will show them.
func (w *Writer) keepXattrs(e *tree.Entry) ([]tree.Xattr, error) {
	asIs := func(x tree.Xattr) bool {
		index, _, ok := disk.SplitXattr(x.Name)
		return ok && !disk.IsACL(index) && !w.drops(x)
	}
	same := 0
	for same < len(e.Xattrs) && asIs(e.Xattrs[same]) {
		same++
	}
	if same == len(e.Xattrs) {
		return e.Xattrs, nil // not copied: many entries may share them
	}
	kept := slices.Clone(e.Xattrs[:same])
	for _, x := range e.Xattrs[same:] {
		if w.drops(x) {
			w.dropped.Add(e.Path + ": xattr " + x.Name)
			continue
		}
		if index, _, _ := disk.SplitXattr(x.Name); disk.IsACL(index) {
			var err error
			if x.Value, err = disk.NormalACL(x.Value); err != nil {
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

// drops reports whether x is left out: the format has no number for its prefix, or overlayfs
// would take it for a mark.
func (w *Writer) drops(x tree.Xattr) bool {
	_, _, ok := disk.SplitXattr(x.Name)
	return !ok || strings.HasPrefix(x.Name, tree.MarkPrefix) || !w.opts.Upper && x.Name == tree.Opaque.Name
}

// Close completes the file system, and checks it if Options.Check is set. It does not sync or
// close the output.
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

// Abort gives up the file system and waits for writes that are under way. Add and Close then
// fail. After a successful Close, Abort does nothing.
func (w *Writer) Abort(cause error) {
	if w.err == nil {
		w.err = cause
	}
	w.data.Flush() // waits for writes that are under way
}

// warn gives one warning for each kind of thing that the file system does not hold as it was.
func (w *Writer) warn() {
	if w.opts.Warn == nil {
		return
	}
	if w.dropped.Count > 0 {
		w.opts.Warn(w.dropped.Text("left out"))
	}
	if w.clamped.Count > 0 {
		w.opts.Warn(w.clamped.Text("its time is outside the years 1901 to 2446 and becomes the nearest that ext4 has"))
	}
	if w.opaque {
		w.opts.Warn("the root is opaque: overlayfs shows what is below it all the same")
	}
	if w.implied.Count > 0 {
		w.opts.Warn(w.implied.Text("a directory that is only implied; 0755 of root hide what it is below"))
	}
}
