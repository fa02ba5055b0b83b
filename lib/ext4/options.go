package ext4

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// ErrNeedsUpper is wrapped by the errors about entries that only the upper disk
// of an overlay can hold.
var ErrNeedsUpper = errors.New("only the upper disk of an overlay can hold it")

// Options are for NewWriter.
type Options struct {
	// Upper makes the upper disk of an overlay: entries go below /upper and may be
	// whiteouts and opaque directories, and /work is an empty directory. It is an error
	// if the disk has no room for the work of overlayfs (see room).
	Upper bool

	Size    int64 // in bytes; 0 (not with Upper): as much as the content and FreeSpace need
	MaxSize int64 // bytes to which it can grow with resize_inode; 0: 127 more blocks of descriptors, about 1 TiB

	Shrink     bool   // with Size 0: as small as possible
	FreeSpace  *int64 // with Size 0: bytes for more files; nil: a quarter of what is in use, at least DefaultFree
	FreeInodes *int64 // inodes for more files; nil: their number follows from BytesPerInode

	Inodes        int64  // number of all inodes; 0: it follows from the other options
	BytesPerInode int64  // one inode for so many bytes; 0: mke2fs's choice for the size, or 16384 of FreeSpace
	Journal       *int64 // bytes of the journal, 0: none; nil: mke2fs's choice for the size
	Features      Features

	Label string     // volume name, at most 16 bytes
	UUID  *[16]byte  // nil: derived from content and options
	Mtime *tree.Time // of every file, in place of its own
	Clamp *tree.Time // later times become this
	Epoch *int64     // when the file system was made, in seconds since 1970; nil: 0

	// Below looks up a path in the layers below an upper disk. Directories that are only
	// implied, and the directory ".", take the attributes of the entry that it returns. If
	// it is nil or the error is fs.ErrNotExist, they are 0755 of root.
	Below func(path string) (*tree.Entry, error)
	Mode  *uint16 // with Upper: permissions of /upper, which override those of an entry

	KeepZeros bool // do not make holes of blocks of zeros in files

	Check bool         // read the file system back and compare it with what was added
	Warn  func(string) // called with a warning about what is left out or changed; may be nil

	// Counts gets what is in the file system, once it is complete, lost+found and the root
	// too; nil if nobody wants to know.
	Counts *tree.Counts
}

// Limits of sizes, in bytes.
const (
	MinUpper       = 64 << 20
	MinRoot        = 1 << 20
	MaxSize        = 64 << 40
	DefaultFree    = 512 << 20
	DefaultMaxSize = 1 << 40

	minBytesPerInode  = 1024
	freeBytesPerInode = 16384
	sizeUnit          = 1 << 20 // sizes that follow from the content are multiples of this
)

// Output is the file to which a file system is written. It is empty at the beginning and can
// be read back.
type Output interface {
	io.WriterAt
	io.ReaderAt
	Truncate(size int64) error
}

// Validate returns an error if the options are not valid.
func (o *Options) Validate() error {
	if err := o.validateSize(); err != nil {
		return err
	}
	if j := o.Journal; j != nil && *j != 0 && (*j < journalMin*disk.BlockSize || *j > maxJournal*disk.BlockSize) {
		return fmt.Errorf("a journal of %d bytes is not possible: want %d to %d, or none", *j, journalMin*disk.BlockSize, int64(maxJournal*disk.BlockSize))
	}
	if n := o.BytesPerInode; n != 0 && (n < minBytesPerInode || n > 1<<40) {
		return fmt.Errorf("%d bytes for an inode: want %d to %d", n, minBytesPerInode, int64(1)<<40)
	}
	if len(o.Label) > disk.LabelSize || strings.IndexByte(o.Label, 0) >= 0 {
		return fmt.Errorf("label %q does not fit: at most %d bytes, none of them 0", o.Label, disk.LabelSize)
	}
	if e := o.Epoch; e != nil && (*e < 0 || *e>>40 != 0) {
		return fmt.Errorf("time %d does not fit into a superblock", *e)
	}
	if !o.Upper && !o.Features.has(flexBG) {
		return errors.New("a root file system needs flex_bg: its metadata follows the files")
	}
	return nil
}

func (o *Options) validateSize() error {
	limit := int64(MaxSize)
	if !o.Features.has(bit64) {
		limit = maxResizeBlock * disk.BlockSize
	}
	switch {
	case o.Size < 0 || o.MaxSize < 0 || o.Inodes < 0:
		return errors.New("a size is negative")
	case o.Inodes > math.MaxUint32:
		return fmt.Errorf("%d inodes are too many: %d at most", o.Inodes, uint32(math.MaxUint32))
	case o.Upper && o.Size < MinUpper:
		return fmt.Errorf("a size of %d bytes is too small: %d (%dM) at least", o.Size, MinUpper, MinUpper/sizeUnit)
	case o.Size > 0 && o.Size < MinRoot:
		return fmt.Errorf("a size of %d bytes is too small: %d (%dM) at least", o.Size, MinRoot, MinRoot/sizeUnit)
	case o.Size > limit:
		return fmt.Errorf("a size of %d bytes is too large: %d at most", o.Size, limit)
	case o.Upper && (o.Shrink || o.FreeSpace != nil || o.FreeInodes != nil):
		return errors.New("an upper disk has a size")
	case o.Size != 0 && (o.Shrink || o.FreeSpace != nil):
		return errors.New("the size is given, and the free space follows from it: one of them can be given")
	case o.Shrink && o.FreeSpace != nil:
		return errors.New("the smallest size has no free space")
	case o.FreeSpace != nil && (*o.FreeSpace < 0 || *o.FreeSpace > limit):
		return fmt.Errorf("free space of %d bytes is out of range: want 0 to %d", *o.FreeSpace, limit)
	case o.FreeInodes != nil && (*o.FreeInodes < 0 || *o.FreeInodes>>32 != 0):
		return fmt.Errorf("%d free inodes are out of range: want 0 to %d", *o.FreeInodes, uint32(math.MaxUint32))
	case o.MaxSize != 0 && !o.Features.has(resizeInode):
		return errors.New("without resize_inode there is no room to reserve")
	case o.MaxSize != 0 && o.MaxSize < o.Size:
		return fmt.Errorf("it cannot grow to %d bytes, which are fewer than the %d of its size", o.MaxSize, o.Size)
	}
	if o.MaxSize > maxResizeBlock*disk.BlockSize || o.Size > maxResizeBlock*disk.BlockSize && o.MaxSize != 0 {
		return fmt.Errorf("resize_inode ends below %d bytes; beyond that only a kernel can grow it", int64(maxResizeBlock+1)*disk.BlockSize)
	}
	if limit := o.reservable(); o.MaxSize > limit {
		return fmt.Errorf("it cannot grow to %d bytes: from a size of %d bytes it can grow to %d", o.MaxSize, o.Size, limit)
	}
	return nil
}

// reservable is the size in bytes to which a file system can grow if it has as many reserved
// blocks as the format allows.
func (o *Options) reservable() int64 {
	desc := o.Features.descSize()
	gdt := disk.DescBlocks(max(1, uint64(o.Size)/disk.BlockSize), desc) + disk.MaxReservedGDT
	return int64(min(gdt*disk.DescsPerBlock(desc)*disk.BlocksPerGroup, maxResizeBlock) * disk.BlockSize)
}
