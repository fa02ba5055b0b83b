package read

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/magic"
	"ocipipe/lib/tree"
)

// Image is an image to be read. Several goroutines may use its methods, and the contents
// of its entries, at once.
type Image struct {
	own         device
	super       disk.Superblock
	bs          int64
	devices     []disk.DeviceSlot
	extra       []device      // the devices that were given; nil if none
	unified     []deviceRange // the addresses of devices, ascending
	prefixes    []string      // long xattr prefixes, complete
	prefixError error         // why the long prefixes cannot be read
	z           *compression
}

// Open opens the image in the first size bytes of r. It checks the superblock, that r is
// not shorter than the superblock says, and that the root is a directory. It ignores bytes
// after the blocks that the superblock counts.
//
// An image whose data is on other devices has a table of them. The caller passes all of
// these devices in the order of the table, or they follow the image in r; otherwise
// contents on them cannot be read. A device whose tag in the table is the UUID of an image
// must be that image. If the image has no table, Open takes the devices as the continuation
// of r.
//
// The caller closes r and devices when neither the image nor contents are used any more.
func Open(r io.ReaderAt, size int64, devices ...Device) (*Image, error) {
	img := &Image{own: device{Device{R: r, Size: size}, blockio.NewPages(r)}}
	if err := img.readSuper(); err != nil {
		return nil, err
	}
	if err := img.checkLength(devices); err != nil {
		return nil, err
	}
	if err := img.readDevices(devices); err != nil {
		return nil, err
	}
	if err := img.readCompression(); err != nil {
		return nil, err
	}
	if err := img.readPrefixes(); err != nil {
		return nil, err
	}
	root, err := img.readInode(img.super.Root())
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if root.kind() != tree.Dir {
		return nil, corrupt(root.off, "root is no directory")
	}
	return img, nil
}

// UUID is the UUID of the image.
func (img *Image) UUID() [16]byte { return img.super.UUID }

// Label is the volume name of the image.
func (img *Image) Label() string {
	label, _, _ := bytes.Cut(img.super.Label[:], []byte{0})
	return string(label)
}

// BlockSize is the size of the image's blocks in bytes.
func (img *Image) BlockSize() int { return int(img.bs) }

// Size is the length in bytes that Open was given.
func (img *Image) Size() int64 { return img.own.Size }

// Length is how long the superblock says that the image is, in bytes. If the image has no
// table of devices, that includes the devices that follow it.
func (img *Image) Length() int64 { return int64(img.super.Blocks) * img.bs }

// DeviceTable returns the image's table of devices. For an image without one it is a table
// of the devices that Open was given, with slots without tags. The caller must not change
// the slice.
func (img *Image) DeviceTable() []disk.DeviceSlot { return img.devices }

func corrupt(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrCorrupt)
}

func unsupported(off int64, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", off, fmt.Sprintf(format, args...), ErrUnsupported)
}

// read fills p with metadata from byte off on. It is an error if the image ends before p is
// full.
func (img *Image) read(p []byte, off int64) error {
	if off < 0 || off > img.own.Size || int64(len(p)) > img.own.Size-off {
		return corrupt(off, "%d bytes are beyond the end of the image at %d", len(p), img.own.Size)
	}
	if _, err := img.own.pages.ReadAt(p, off); err != nil {
		return fmt.Errorf("byte %d: %w", off, err)
	}
	return nil
}

func (img *Image) readSuper() error {
	var b [disk.SuperSize]byte
	s := &img.super
	if img.own.Size < disk.SuperOffset+disk.SuperSize {
		return img.foreign(corrupt(0, "%d bytes are too few for a superblock", img.own.Size))
	}
	if err := img.read(b[:], disk.SuperOffset); err != nil {
		return err
	}
	s.Decode(b[:])
	if s.Magic != disk.Magic {
		return img.foreign(corrupt(disk.SuperOffset, "no EROFS superblock here"))
	}
	var ok bool
	if img.bs, ok = s.BlockSize(); !ok {
		return corrupt(disk.SuperOffset, "block size of 2^%d bytes", s.BlockBits)
	}
	if err := img.checkFeatures(); err != nil {
		return err
	}
	if s.DirBlockBits != 0 {
		return unsupported(disk.SuperOffset, "directory blocks of 2^%d blocks", s.DirBlockBits)
	}
	if end := disk.SuperOffset + s.Size(); end > img.own.Size {
		return corrupt(disk.SuperOffset, "superblock of %d bytes is beyond the end of the image", s.Size())
	}
	if s.FixedNsec >= 1e9 {
		return corrupt(disk.SuperOffset, "%d nanoseconds", s.FixedNsec)
	}
	if s.Compat&disk.CompatChecksum != 0 {
		if err := img.checkSum(); err != nil {
			return err
		}
	}
	return nil
}

// foreign returns err, or if the image is recognised as something else, what it is.
func (img *Image) foreign(err error) error {
	return magic.ExplainFile(err, io.NewSectionReader(img.own.R, 0, img.own.Size), magic.EROFS)
}

// checkFeatures refuses features that change what this package reads.
func (img *Image) checkFeatures() error {
	unknown := img.super.Incompat &^ disk.IncompatKnown
	var names []string
	for _, f := range []struct {
		flag disk.Incompat
		name string
	}{
		{disk.IncompatMetabox, "compressed metadata (0x100)"},
		{unknown &^ disk.IncompatMetabox, fmt.Sprintf("features %#x", uint32(unknown))},
	} {
		if unknown&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	if high := img.super.BlocksHigh(); high != 0 {
		names = append(names, fmt.Sprintf("%d blocks and more, with 48-bit addresses (0x80)", uint64(high)<<32))
	}
	if names == nil {
		return nil
	}
	return unsupported(disk.SuperOffset, "%s", strings.Join(names, ", "))
}

func (img *Image) checkSum() error {
	n := disk.ChecksumLen(img.bs)
	if n > img.own.Size-disk.SuperOffset {
		return corrupt(img.own.Size, "image is cut short in its first block")
	}
	b := make([]byte, n)
	if err := img.read(b, disk.SuperOffset); err != nil {
		return err
	}
	if sum := disk.Checksum(b); sum != img.super.Checksum {
		return corrupt(disk.SuperOffset, "superblock has checksum %#08x, says %#08x", sum, img.super.Checksum)
	}
	return nil
}

// readPrefixes reads the long xattr prefixes. They are at a plain offset, or in the inode
// that holds the ends of compressed files, which may be compressed itself.
func (img *Image) readPrefixes() error {
	s := &img.super
	if s.Incompat&disk.IncompatPrefixes == 0 || s.PrefixCount == 0 {
		return nil
	}
	var table io.ReaderAt = imageReader{img}
	if s.Incompat&disk.IncompatFragments != 0 && s.PackedNid != 0 && s.Compat&disk.CompatPlainPrefix == 0 {
		c, err := img.packedContent()
		if errors.Is(err, ErrUnsupported) {
			img.prefixError = fmt.Errorf("long xattr prefixes: %w", err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("xattr prefixes: %w", err)
		}
		table = c
	}
	off := int64(s.PrefixStart) * 4
	for range s.PrefixCount {
		prefix, n, err := readPrefix(table, off)
		if err != nil {
			return fmt.Errorf("xattr prefixes: %w", err)
		}
		img.prefixes = append(img.prefixes, prefix)
		off += n
	}
	return nil
}

// readPrefix reads a long prefix at off and returns it with its length on disk. On disk it
// is the length of what follows (2 bytes), the index of the short prefix (1), and the rest
// of the prefix, padded to 4 bytes.
func readPrefix(r io.ReaderAt, off int64) (prefix string, n int64, err error) {
	var b [2 + 1 + disk.MaxName]byte
	if _, err := r.ReadAt(b[:2], off); err != nil {
		return "", 0, err
	}
	n = int64(binary.LittleEndian.Uint16(b[:]))
	if n < 1 || n > 1+disk.MaxName {
		return "", 0, corrupt(off, "prefix of %d bytes", n)
	}
	if _, err := r.ReadAt(b[2:2+n], off+2); err != nil {
		return "", 0, err
	}
	short, ok := disk.ShortPrefix(b[2])
	if !ok {
		return "", 0, corrupt(off, "prefix index %d", b[2])
	}
	return short + string(b[3:2+n]), disk.RoundUp(2+n, disk.XattrAlign), nil
}

// imageReader reads metadata by its offset in the image.
type imageReader struct{ img *Image }

func (r imageReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.img.read(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// inode is an inode and its place in the image.
type inode struct {
	disk.Inode
	nid uint64
	off int64
}

func (ino *inode) kind() tree.Type { return disk.TypeOfMode(ino.Mode) }

// end is the offset of the end of the inode and its xattrs.
func (ino *inode) end() int64 {
	return ino.off + ino.RecordSize() + disk.XattrBodySize(ino.XattrCount)
}

// readInode reads and checks the inode nid. It does not check where its data is.
func (img *Image) readInode(nid uint64) (*inode, error) {
	ino := new(inode)
	if err := img.readInodeInto(ino, nid); err != nil {
		return nil, err
	}
	return ino, nil
}

func (img *Image) readInodeInto(ino *inode, nid uint64) error {
	off, ok := img.inodeOffset(nid)
	if !ok {
		return corrupt(img.own.Size, "inode %d is beyond the end of the image", nid)
	}
	ino.nid, ino.off = nid, off
	var b [disk.ExtendedSize]byte
	if err := img.read(b[:disk.CompactSize], ino.off); err != nil {
		return err
	}
	if n := disk.InodeSize(b[:]); n > disk.CompactSize {
		if err := img.read(b[disk.CompactSize:n], ino.off+disk.CompactSize); err != nil {
			return err
		}
	}
	switch ok = ino.Decode(b[:], &img.super); {
	case !ok && ino.Size < 0:
		return corrupt(ino.off, "inode %d has a negative size", nid)
	case !ok:
		return unsupported(ino.off, "inode %d has format %#x", nid, binary.LittleEndian.Uint16(b[:]))
	case ino.kind() == 0:
		return corrupt(ino.off, "inode %d has mode %#o", nid, ino.Mode)
	case ino.Time.Nsec >= 1e9:
		return corrupt(ino.off, "inode %d has %d nanoseconds", nid, ino.Time.Nsec)
	case ino.end() > img.own.Size:
		return corrupt(ino.off, "xattrs of inode %d are beyond the end of the image", nid)
	}
	return nil
}

// inodeOffset returns the offset of the inode nid in the image; ok is false if that is
// outside of the image. The offset from the base is a signed number of 64 bits, and nid is
// its upper 59 bits: mkfs.erofs uses negative ones for inodes before the base, and the
// kernel takes them. A nid with more bits is refused: it would be a second number of an
// inode.
func (img *Image) inodeOffset(nid uint64) (off int64, ok bool) {
	if nid > math.MaxUint64/disk.NidUnit {
		return 0, false
	}
	off = int64(img.super.MetaBlock)*img.bs + int64(nid*disk.NidUnit)
	return off, off >= 0 && off <= img.own.Size
}

// entry makes an Entry of ino, with xattrs and marks as they are stored. If ino has data, c
// becomes its content.
func (img *Image) entry(ino *inode, xs *xattrReader, c *Content) (e tree.Entry, err error) {
	e = ino.attributes()
	if e.Xattrs, err = xs.read(ino); err != nil {
		return e, err
	}
	switch e.Type {
	case tree.Link:
		e.Link, err = img.readLink(ino)
	case tree.File:
		err = img.setContent(&e, ino, c)
	}
	return e, err
}

// attributes makes an Entry of the fields in the record of ino alone.
func (ino *inode) attributes() tree.Entry {
	e := tree.Entry{
		Type:  ino.kind(),
		Time:  ino.Time,
		UID:   ino.UID,
		GID:   ino.GID,
		Nlink: ino.Nlink,
		Mode:  ino.Mode & disk.ModePermMask,
	}
	switch e.Type {
	case tree.Char, tree.Block:
		e.Dev = disk.DecodeDevice(ino.Data)
	case tree.File:
		e.Size = ino.Size
	}
	return e
}

func (img *Image) readLink(ino *inode) (string, error) {
	if ino.Size < 1 || ino.Size > disk.MaxLink {
		return "", corrupt(ino.off, "link target of %d bytes", ino.Size)
	}
	c, err := img.content(ino)
	if err != nil {
		return "", err
	}
	b := make([]byte, ino.Size)
	if _, err := c.ReadAt(b, 0); err != nil {
		return "", err
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return "", corrupt(ino.off, "link target with a zero byte")
	}
	return string(b), nil
}

// setContent sets the extents of the file e, and c as its content if it has data.
func (img *Image) setContent(e *tree.Entry, ino *inode, c *Content) error {
	if e.Size == 0 {
		return nil
	}
	if err := img.locate(c, ino); err != nil {
		return err
	}
	e.Extents = c.Extents()
	if e.DataSize() > 0 {
		e.Content = c
	}
	return nil
}

// dataBudget is how many bytes of metadata one pass over an image of size bytes may read. An
// honest image stays below it, because what its inodes share is read only once.
func dataBudget(size int64) int64 {
	if size > math.MaxInt64/2 {
		return math.MaxInt64
	}
	return size + 1<<20
}
