package volume

import (
	"fmt"
	"io"
	"math"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// XattrReader reads xattrs. It keeps blocks and values that inodes share, up to maxKeptXattrs,
// and so reads them once.
type XattrReader struct {
	Vol    *Volume
	Blocks map[uint64]*XattrBlock // by number of the block
	Values Set                    // inodes that have values of xattrs
	values map[uint32]string      // those that are kept
	kept   int                    // bytes of blocks and values that are kept
}

const maxKeptXattrs = 64 << 20 // bytes of blocks and values

// XattrBlock is a block of xattrs that was read.
type XattrBlock struct {
	Refs uint32 // inodes that use it, according to its header
	Used uint32 // inodes that use it, of those that were read
	list []tree.Xattr
	kept bool // list is the content of the block
}

// Read returns the xattrs of ino in byte order of their names. When it first reads a
// block, it claims it in owned, which may be nil.
func (x *XattrReader) Read(ino *Inode, owned *Claims) ([]tree.Xattr, error) {
	r := disk.XattrReader{}
	if x.Vol.Super.Incompat&disk.IncompatEAInode != 0 {
		r.Value = func(number, size uint32) (string, error) {
			return x.value(number, size, ino, owned)
		}
	}
	list, err := r.AppendInode(nil, ino.xattrArea())
	if err != nil {
		return nil, fmt.Errorf("inode %d at byte %d: %w", ino.Number, ino.Off, err)
	}
	if ino.FileACL == 0 {
		return disk.SortXattrs(list), nil
	}
	b := x.Blocks[ino.FileACL]
	if b == nil {
		if x.Blocks == nil {
			x.Blocks = make(map[uint64]*XattrBlock)
		}
		b = new(XattrBlock)
		x.Blocks[ino.FileACL] = b
		if err := owned.Add(ino.FileACL, 1); err != nil {
			return nil, err
		}
	}
	if owned != nil {
		b.Used++
	}
	if b.kept {
		return disk.SortXattrs(append(list, b.list...)), nil
	}
	found, err := x.readBlock(b, ino.FileACL, &r)
	if err != nil {
		return nil, fmt.Errorf("inode %d at byte %d: %w", ino.Number, ino.Off, err)
	}
	return disk.SortXattrs(append(list, found...)), nil
}

// readBlock returns the xattrs in the block at, and updates b.
func (x *XattrReader) readBlock(b *XattrBlock, at uint64, r *disk.XattrReader) (list []tree.Xattr, err error) {
	block := make([]byte, x.Vol.block)
	if err := x.Vol.ReadBlock(block, at); err != nil {
		return nil, err
	}
	var head disk.XattrHead
	head.Decode(block)
	if sum := x.Vol.Seed.XattrBlock(at, block); x.Vol.Super.HasSums() && sum != head.Checksum {
		return nil, disk.Corrupt(x.Vol.Offset(at), "block of xattrs has checksum %#08x, says %#08x", sum, head.Checksum)
	}
	if list, err = r.AppendBlock(nil, block); err != nil {
		return nil, fmt.Errorf("byte %d: %w", x.Vol.Offset(at), err)
	}
	if b.Refs = head.Refs; head.Refs > 1 && x.kept < maxKeptXattrs {
		values := 0 // bytes; in inodes there is room for more than the block has
		for _, v := range list {
			values += len(v.Value)
		}
		x.kept += max(len(block), values)
		b.list, b.kept = list, true
	}
	return list, nil
}

// value returns the value of an xattr of the inode user, which is the content of the inode
// number, of size bytes. It claims the blocks of that inode in owned when it first reads it.
// The inode stores the checksum of its content as the time of the last access; one that Lustre
// made has its user as the time of the last change in place of that.
func (x *XattrReader) value(number, size uint32, user *Inode, owned *Claims) (string, error) {
	if v, ok := x.values[number]; ok && len(v) == int(size) {
		return v, nil
	}
	if x.Values == nil {
		x.Values, x.values = make(Set), make(map[uint32]string)
	}
	ino, err := x.Vol.ReadInode(number)
	if err != nil {
		return "", err
	}
	if ino.Type() != tree.File || ino.Flags&disk.FlagEAInode == 0 || ino.Size != uint64(size) {
		return "", disk.Corrupt(ino.Off, "inode %d has no value of an xattr of %d bytes", number, size)
	}
	if !x.Values.Add(uint64(number)) {
		owned = nil
	}
	c := new(Content)
	if err := x.Vol.FindContent(c, ino, owned); err != nil {
		return "", err
	}
	if size > 0 && c.Extents() != nil { // no kernel makes these, and a small image could claim many
		return "", disk.Corrupt(ino.Off, "inode %d, the value of an xattr, has holes", number)
	}
	b := make([]byte, size)
	if _, err := c.ReadAt(b, 0); err != nil && err != io.EOF {
		return "", err
	}
	lustre := ino.Mtime.Low == user.Number && ino.Generation == user.Generation
	if sum := disk.RawSum(uint32(x.Vol.Seed), b); sum != ino.Atime.Low && !lustre {
		return "", disk.Corrupt(ino.Off, "value of an xattr in inode %d has checksum %#08x, says %#08x", number, sum, ino.Atime.Low)
	}
	v := string(b)
	if refs := uint64(ino.Ctime.Low)<<32 | ino.Version&math.MaxUint32; refs > 1 && x.kept < maxKeptXattrs {
		x.kept += len(v)
		x.values[number] = v
	}
	return v, nil
}
