package volume

import (
	"fmt"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// XattrReader reads xattrs. It keeps blocks that inodes share, up to maxKeptXattrs, and so
// reads them once.
type XattrReader struct {
	Vol    *Volume
	Blocks map[uint64]*XattrBlock // by number of the block
	kept   int                    // bytes of blocks that are kept
}

const maxKeptXattrs = 16 << 20 // bytes of blocks

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

// readBlock returns the xattrs in the block at, and updates b.
func (x *XattrReader) readBlock(b *XattrBlock, at uint64) (list []tree.Xattr, err error) {
	block := make([]byte, x.Vol.block)
	if err := x.Vol.ReadBlock(block, at); err != nil {
		return nil, err
	}
	var head disk.XattrHead
	head.Decode(block)
	if sum := x.Vol.Seed.XattrBlock(at, block); x.Vol.Super.HasSums() && sum != head.Checksum {
		return nil, disk.Corrupt(x.Vol.Offset(at), "block of xattrs has checksum %#08x, says %#08x", sum, head.Checksum)
	}
	if list, err = disk.AppendBlockXattrs(nil, block); err != nil {
		return nil, fmt.Errorf("byte %d: %w", x.Vol.Offset(at), err)
	}
	if b.Refs = head.Refs; head.Refs > 1 && x.kept < maxKeptXattrs {
		x.kept += len(block)
		b.list, b.kept = list, true
	}
	return list, nil
}
