package ext4

import (
	"bytes"

	"ocipipe/lib/ext4/disk"
)

// foundInode is an inode with where it is.
type foundInode struct {
	disk.Inode
	number uint32
	off    int64
	raw    []byte // all of it, with the xattrs
	sum    disk.InodeSeed
}

// readInode reads and checks the inode number, which is in use. What its data is
// has not been checked yet.
func (vol *volume) readInode(number uint32) (*foundInode, error) {
	ino := new(foundInode)
	return ino, vol.readInodeInto(ino, number)
}

func (vol *volume) readInodeInto(ino *foundInode, number uint32) error {
	if err := vol.loadInode(ino, number); err != nil {
		return err
	}
	switch {
	case ino.Links == 0:
		return disk.Corrupt(ino.off, "inode %d is not in use", number)
	case ino.Type() == 0:
		return disk.Corrupt(ino.off, "inode %d has mode %#o", number, ino.Mode)
	case ino.Flags&(disk.FlagInlineData|disk.FlagEncrypt|disk.FlagCasefold) != 0:
		return disk.Unsupported(ino.off, "inode %d is encrypted, casefolded or has inline data (flags %#x)", number, ino.Flags)
	}
	if _, ok := ino.Mtime.Decode(); !ok {
		return disk.Corrupt(ino.off, "inode %d has %d nanoseconds", number, ino.Mtime.Extra>>2)
	}
	return nil
}

// loadInode reads any inode, also one that is not in use, and checks its checksum.
func (vol *volume) loadInode(ino *foundInode, number uint32) error {
	if number == 0 || number > vol.super.Inodes {
		return disk.Corrupt(disk.SuperOffset, "inode %d of %d", number, vol.super.Inodes)
	}
	group, index := uint64((number-1)/vol.super.InodesPerGroup), (number-1)%vol.super.InodesPerGroup
	var d disk.GroupDesc
	if err := vol.readGroup(&d, group); err != nil {
		return err
	}
	size := int(vol.super.InodeSize)
	if cap(ino.raw) < size {
		ino.raw = make([]byte, size)
	}
	ino.number, ino.raw = number, ino.raw[:size]
	ino.off = int64(d.InodeTable)*disk.BlockSize + int64(index)*int64(size)
	if vol.super.HasSums() && (d.Flags&disk.InodeUninit != 0 || index >= vol.super.InodesPerGroup-d.Unused) {
		return disk.Corrupt(ino.off, "inode %d is in a part of the table that was never used", number)
	}
	if err := vol.read(ino.raw, ino.off); err != nil {
		return err
	}
	ino.Decode(ino.raw)
	if extra := int(ino.ExtraISize); size > disk.SmallInodeSize && (extra > size-disk.SmallInodeSize || extra%4 != 0) {
		return disk.Corrupt(ino.off, "inode %d has %d extra bytes", number, extra)
	}
	ino.sum = vol.seed.Inode(number, ino.Generation)
	if vol.super.HasSums() && !ino.sum.Matches(ino.raw) {
		return disk.Corrupt(ino.off, "inode %d has checksum %#08x, says %#08x", number, ino.sum.Inode(ino.raw), ino.Checksum)
	}
	return nil
}

// xattrArea is what lies behind the fields of the inode: its own xattrs.
func (ino *foundInode) xattrArea() []byte {
	if len(ino.raw) <= disk.SmallInodeSize {
		return nil
	}
	return ino.raw[disk.SmallInodeSize+int(ino.ExtraISize):]
}

// isFastLink reports whether ino, a symbolic link, has its target in the inode.
func (ino *foundInode) isFastLink() bool {
	return ino.Flags&disk.FlagExtents == 0 && ino.Size <= disk.FastMax
}

// readLink returns the target of ino, a symbolic link, and fills c with where it
// is if that is not the inode.
func (vol *volume) readLink(c *content, ino *foundInode, owned *claims) (string, error) {
	if ino.Size < 1 || ino.Size > disk.LinkMax {
		return "", disk.Corrupt(ino.off, "link target of %d bytes", ino.Size)
	}
	b := ino.Block[:]
	if !ino.isFastLink() {
		if err := vol.find(c, ino, owned); err != nil {
			return "", err
		}
		b = make([]byte, ino.Size+1) // the kernel puts a zero there
		if _, err := c.ReadAt(b[:ino.Size], 0); err != nil {
			return "", err
		}
	}
	if n := bytes.IndexByte(b, 0); n != int(ino.Size) {
		return "", disk.Corrupt(ino.off, "link target of %d bytes has %d", ino.Size, n)
	}
	return string(b[:ino.Size]), nil
}

// checkPlain refuses a device, fifo or socket that has data. What else is in
// i_block does not count: old kernels left it as it was.
func (ino *foundInode) checkPlain() error {
	if ino.Flags&(disk.FlagExtents|disk.FlagIndex) != 0 || ino.Size != 0 {
		return disk.Corrupt(ino.off, "%s of inode %d has data", ino.Type(), ino.number)
	}
	return nil
}
