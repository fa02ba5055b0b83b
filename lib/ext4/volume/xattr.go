package volume

import (
	"fmt"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// XattrReader reads xattrs. Blocks that inodes share are read once, as long as
// they do not take too much memory.
type XattrReader struct {
	Vol    *Volume
	Blocks map[uint64]*XattrBlock
	kept   int
}

const maxKeptXattrs = 16 << 20 // bytes of blocks

// XattrBlock is what is known of a block of xattrs.
type XattrBlock struct {
	Refs uint32 // inodes that have it, as it says
	Used uint32 // and that have been read
	list []tree.Xattr
	kept bool // list is what is in it
}

// Read returns the xattrs of ino in byte order of their names. A block is claimed
// in owned when it is read first, if owned is not nil.
func (x *XattrReader) Read(ino *Inode, owned *Claims) ([]tree.Xattr, error) {
	list, err := disk.AppendInodeXattrs(nil, ino.xattrArea())
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
	found, err := x.readBlock(b, ino.FileACL)
	if err != nil {
		return nil, fmt.Errorf("inode %d at byte %d: %w", ino.Number, ino.Off, err)
	}
	return disk.SortXattrs(append(list, found...)), nil
}

// readBlock returns what is in the block at.
func (x *XattrReader) readBlock(b *XattrBlock, at uint64) (list []tree.Xattr, err error) {
	block := make([]byte, disk.BlockSize)
	if err := x.Vol.ReadBlock(block, at); err != nil {
		return nil, err
	}
	var head disk.XattrHead
	head.Decode(block)
	if sum := x.Vol.Seed.XattrBlock(at, block); x.Vol.Super.HasSums() && sum != head.Checksum {
		return nil, disk.Corrupt(int64(at)*disk.BlockSize, "block of xattrs has checksum %#08x, says %#08x", sum, head.Checksum)
	}
	if list, err = disk.AppendBlockXattrs(nil, block); err != nil {
		return nil, fmt.Errorf("byte %d: %w", int64(at)*disk.BlockSize, err)
	}
	if b.Refs = head.Refs; head.Refs > 1 && x.kept < maxKeptXattrs {
		x.kept += disk.BlockSize
		b.list, b.kept = list, true
	}
	return list, nil
}
