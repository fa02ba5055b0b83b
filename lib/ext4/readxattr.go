package ext4

import (
	"fmt"

	"ocipipe/lib/tree"
)

// xattrReader reads xattrs. Blocks that inodes share are read once, as long as
// they do not take too much memory.
type xattrReader struct {
	img    *Image
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
	list, err := appendInodeXattrs(nil, ino.xattrArea())
	if err != nil {
		return nil, fmt.Errorf("inode %d at byte %d: %w", ino.number, ino.off, err)
	}
	if ino.FileACL == 0 {
		return sortXattrs(list), nil
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
		return sortXattrs(append(list, b.list...)), nil
	}
	found, err := x.readBlock(b, ino.FileACL)
	if err != nil {
		return nil, fmt.Errorf("inode %d at byte %d: %w", ino.number, ino.off, err)
	}
	return sortXattrs(append(list, found...)), nil
}

// readBlock returns what is in the block at.
func (x *xattrReader) readBlock(b *xattrBlock, at uint64) (list []tree.Xattr, err error) {
	block := make([]byte, blockSize)
	if err := x.img.readBlock(block, at); err != nil {
		return nil, err
	}
	var head xattrHead
	head.decode(block)
	if sum := x.img.seed.xattrBlock(at, block); x.img.super.hasSums() && sum != head.Checksum {
		return nil, corrupt(int64(at)*blockSize, "block of xattrs has checksum %#08x, says %#08x", sum, head.Checksum)
	}
	if list, err = appendBlockXattrs(nil, block); err != nil {
		return nil, fmt.Errorf("byte %d: %w", int64(at)*blockSize, err)
	}
	if b.refs = head.Refs; head.Refs > 1 && x.kept < maxKeptXattrs {
		x.kept += blockSize
		b.list, b.kept = list, true
	}
	return list, nil
}
