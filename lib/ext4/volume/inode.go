package volume

import (
	"bytes"
	"math"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/tree"
)

// Inode is an inode and its place.
type Inode struct {
	disk.Inode
	Number uint32
	Off    int64  // in the file system, in bytes
	Raw    []byte // the whole inode as on disk, with its xattrs
	Sum    disk.InodeSeed
}

// ReadInode reads and checks the inode number. An inode that is not in use is an error.
// ReadInode does not look at the blocks of the inode.
func (vol *Volume) ReadInode(number uint32) (*Inode, error) {
	ino := new(Inode)
	return ino, vol.ReadInodeInto(ino, number)
}

// ReadInodeInto is ReadInode into ino, which it overwrites.
func (vol *Volume) ReadInodeInto(ino *Inode, number uint32) error {
	if err := vol.LoadInode(ino, number); err != nil {
		return err
	}
	switch {
	case ino.Links == 0:
		return disk.Corrupt(ino.Off, "inode %d is not in use", number)
	case ino.Type() == 0:
		return disk.Corrupt(ino.Off, "inode %d has mode %#o", number, ino.Mode)
	case ino.Flags&disk.FlagEncrypt != 0:
		return disk.Unsupported(ino.Off, "inode %d is encrypted", number)
	case ino.Flags&disk.FlagCasefold != 0 && ino.Type() == tree.Dir:
		return disk.Unsupported(ino.Off, "inode %d is a directory that ignores the case of names (casefold)", number)
	case ino.Flags&disk.FlagInlineData != 0 && vol.Super.Incompat&disk.IncompatInlineData == 0:
		return disk.Corrupt(ino.Off, "inode %d has inline data, without the feature", number)
	}
	if _, ok := ino.Mtime.Decode(); !ok {
		return disk.Corrupt(ino.Off, "inode %d has %d nanoseconds", number, ino.Mtime.Extra>>2)
	}
	return nil
}

// LoadInode reads an inode into ino and checks its checksum. Unlike ReadInodeInto it
// accepts an inode that is not in use.
func (vol *Volume) LoadInode(ino *Inode, number uint32) error {
	if number == 0 || number > vol.Super.Inodes {
		return disk.Corrupt(disk.SuperOffset, "inode %d of %d", number, vol.Super.Inodes)
	}
	group, index := uint64((number-1)/vol.Super.InodesPerGroup), (number-1)%vol.Super.InodesPerGroup
	var d disk.GroupDesc
	if err := vol.ReadGroup(&d, group); err != nil {
		return err
	}
	size := int(vol.Super.InodeSize)
	if cap(ino.Raw) < size {
		ino.Raw = make([]byte, size)
	}
	ino.Number, ino.Raw = number, ino.Raw[:size]
	ino.Off = vol.Offset(d.InodeTable) + int64(index)*int64(size)
	if vol.Super.HasSums() && (d.Flags&disk.InodeUninit != 0 || index >= vol.Super.InodesPerGroup-d.Unused) {
		return disk.Corrupt(ino.Off, "inode %d is in a part of the table that was never used", number)
	}
	if err := vol.Read(ino.Raw, ino.Off); err != nil {
		return err
	}
	ino.Decode(ino.Raw)
	if ino.Type() != tree.File && vol.Super.Incompat&disk.IncompatLargeDir == 0 {
		ino.Size &= math.MaxUint32 // the upper half had another meaning (ext4_isize)
	}
	if extra := int(ino.ExtraISize); size > disk.SmallInodeSize && (extra > size-disk.SmallInodeSize || extra%4 != 0) {
		return disk.Corrupt(ino.Off, "inode %d has %d extra bytes", number, extra)
	}
	ino.Sum = vol.Seed.Inode(number, ino.Generation)
	if vol.Super.HasSums() && !ino.Sum.Matches(ino.Raw) {
		return disk.Corrupt(ino.Off, "inode %d has checksum %#08x, says %#08x", number, ino.Sum.Inode(ino.Raw), ino.Checksum)
	}
	return nil
}

// xattrArea is the part of the inode after its fields, which holds xattrs.
func (ino *Inode) xattrArea() []byte {
	if len(ino.Raw) <= disk.SmallInodeSize {
		return nil
	}
	return ino.Raw[disk.SmallInodeSize+int(ino.ExtraISize):]
}

// isFastLink reports whether the target of ino, a symbolic link, is in the inode.
func (ino *Inode) isFastLink() bool {
	return ino.Flags&disk.FlagExtents == 0 && ino.Size <= disk.FastMax
}

// ReadLink returns the target of ino, a symbolic link. If the target is in a block, it sets
// c to the content of the link and claims the block in owned, which may be nil.
func (vol *Volume) ReadLink(c *Content, ino *Inode, owned *Claims) (string, error) {
	if ino.Size < 1 || ino.Size > disk.LinkMax {
		return "", disk.Corrupt(ino.Off, "link target of %d bytes", ino.Size)
	}
	b := ino.Block[:]
	if !ino.isFastLink() {
		if err := vol.FindContent(c, ino, owned); err != nil {
			return "", err
		}
		b = make([]byte, ino.Size+1) // with the zero that the kernel appends
		if _, err := c.ReadAt(b[:ino.Size], 0); err != nil {
			return "", err
		}
	}
	if n := bytes.IndexByte(b, 0); n != int(ino.Size) {
		return "", disk.Corrupt(ino.Off, "link target of %d bytes has %d", ino.Size, n)
	}
	return string(b[:ino.Size]), nil
}

// CheckNoData refuses a device, fifo or socket that has data. It ignores other content of
// i_block, because old kernels did not clear it.
func (ino *Inode) CheckNoData() error {
	if ino.Flags&(disk.FlagExtents|disk.FlagIndex|disk.FlagInlineData) != 0 || ino.Size != 0 {
		return disk.Corrupt(ino.Off, "%s of inode %d has data", ino.Type(), ino.Number)
	}
	return nil
}
