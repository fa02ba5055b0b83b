package ext4

import (
	"fmt"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// xattrReader reads xattrs. Blocks that inodes share are read once, as long as
// they do not take too much memory.
type xattrReader struct {
	vol    *volume
	blocks map[uint64]*xattrBlock
	kept   int
}

const maxKeptXattrs = 16 << 20 // bytes of blocks

// xattrBlock is what is known of a block of xattrs.
type xattrBlock struct {
	refs uint32 // inodes that have it, as it says
	used uint32 // and as they were met
	list []tree.Xattr
	kept bool // list is what is in it
}

// read returns the xattrs of ino in byte order of their names. A block is claimed
// in owned when it is met first, if owned is not nil.
func (x *xattrReader) read(ino *foundInode, owned *claims) ([]tree.Xattr, error) {
	list, err := disk.AppendInodeXattrs(nil, ino.xattrArea())
	if err != nil {
		return nil, fmt.Errorf("inode %d at byte %d: %w", ino.number, ino.off, err)
	}
	if ino.FileACL == 0 {
		return disk.SortXattrs(list), nil
	}
	b := x.blocks[ino.FileACL]
	if b == nil {
		if x.blocks == nil {
			x.blocks = make(map[uint64]*xattrBlock)
		}
		b = new(xattrBlock)
		x.blocks[ino.FileACL] = b
		if err := owned.add(ino.FileACL, 1); err != nil {
			return nil, err
		}
	}
	if owned != nil {
		b.used++
	}
	if b.kept {
		return disk.SortXattrs(append(list, b.list...)), nil
	}
	found, err := x.readBlock(b, ino.FileACL)
	if err != nil {
		return nil, fmt.Errorf("inode %d at byte %d: %w", ino.number, ino.off, err)
	}
	return disk.SortXattrs(append(list, found...)), nil
}

// readBlock returns what is in the block at.
func (x *xattrReader) readBlock(b *xattrBlock, at uint64) (list []tree.Xattr, err error) {
	block := make([]byte, disk.BlockSize)
	if err := x.vol.readBlock(block, at); err != nil {
		return nil, err
	}
	var head disk.XattrHead
	head.Decode(block)
	if sum := x.vol.seed.XattrBlock(at, block); x.vol.super.HasSums() && sum != head.Checksum {
		return nil, disk.Corrupt(int64(at)*disk.BlockSize, "block of xattrs has checksum %#08x, says %#08x", sum, head.Checksum)
	}
	if list, err = disk.AppendBlockXattrs(nil, block); err != nil {
		return nil, fmt.Errorf("byte %d: %w", int64(at)*disk.BlockSize, err)
	}
	if b.refs = head.Refs; head.Refs > 1 && x.kept < maxKeptXattrs {
		x.kept += disk.BlockSize
		b.list, b.kept = list, true
	}
	return list, nil
}
