package ext4

import (
	"bytes"

	"ocipipe/lib/tree"
)

// foundInode is an inode with where it is.
type foundInode struct {
	inode
	number uint32
	off    int64
	raw    []byte // all of it, with the xattrs
	sum    inodeSeed
}

// kinds are the types of files by the upper bits of a mode, and what directory
// entries have for them.
var kinds = [16]struct {
	kind   tree.Type
	dirent uint8
}{
	modeFifo >> 12:   {tree.Fifo, kindFifo},
	modeChar >> 12:   {tree.Char, kindChar},
	modeDir >> 12:    {tree.Dir, kindDir},
	modeBlock >> 12:  {tree.Block, kindBlock},
	modeFile >> 12:   {tree.File, kindFile},
	modeLink >> 12:   {tree.Link, kindLink},
	modeSocket >> 12: {tree.Socket, kindSocket},
}

// kind is the type of the file, 0 if there is none like it.
func (ino *foundInode) kind() tree.Type { return kinds[ino.Mode>>12].kind }

// readInode reads and checks the inode number, which is in use. What its data is
// has not been checked yet.
func (img *Image) readInode(number uint32) (*foundInode, error) {
	ino := new(foundInode)
	return ino, img.readInodeInto(ino, number)
}

func (img *Image) readInodeInto(ino *foundInode, number uint32) error {
	if err := img.loadInode(ino, number); err != nil {
		return err
	}
	switch {
	case ino.Links == 0:
		return corrupt(ino.off, "inode %d is not in use", number)
	case ino.kind() == 0:
		return corrupt(ino.off, "inode %d has mode %#o", number, ino.Mode)
	case ino.Flags&(flagInlineData|flagEncrypt|flagCasefold) != 0:
		return unsupported(ino.off, "inode %d is encrypted, casefolded or has inline data (flags %#x)", number, ino.Flags)
	}
	if _, ok := ino.Mtime.decode(); !ok {
		return corrupt(ino.off, "inode %d has %d nanoseconds", number, ino.Mtime.Extra>>2)
	}
	return nil
}

// loadInode reads any inode, also one that is not in use, and checks its checksum.
func (img *Image) loadInode(ino *foundInode, number uint32) error {
	if number == 0 || number > img.super.Inodes {
		return corrupt(superOffset, "inode %d of %d", number, img.super.Inodes)
	}
	group, index := uint64((number-1)/img.super.InodesPerGroup), (number-1)%img.super.InodesPerGroup
	var d groupDesc
	if err := img.readGroup(&d, group); err != nil {
		return err
	}
	size := int(img.super.InodeSize)
	if cap(ino.raw) < size {
		ino.raw = make([]byte, size)
	}
	ino.number, ino.raw = number, ino.raw[:size]
	ino.off = int64(d.InodeTable)*blockSize + int64(index)*int64(size)
	if img.super.hasSums() && (d.Flags&inodeUninit != 0 || index >= img.super.InodesPerGroup-d.Unused) {
		return corrupt(ino.off, "inode %d is in a part of the table that was never used", number)
	}
	if err := img.read(ino.raw, ino.off); err != nil {
		return err
	}
	ino.decode(ino.raw)
	if extra := int(ino.ExtraISize); size > smallInodeSize && (extra > size-smallInodeSize || extra%4 != 0) {
		return corrupt(ino.off, "inode %d has %d extra bytes", number, extra)
	}
	ino.sum = img.seed.inode(number, ino.Generation)
	if img.super.hasSums() && !ino.sum.matches(ino.raw) {
		return corrupt(ino.off, "inode %d has checksum %#08x, says %#08x", number, ino.sum.inode(ino.raw), ino.Checksum)
	}
	return nil
}

// xattrArea is what lies behind the fields of the inode: its own xattrs.
func (ino *foundInode) xattrArea() []byte {
	if len(ino.raw) <= smallInodeSize {
		return nil
	}
	return ino.raw[smallInodeSize+int(ino.ExtraISize):]
}

// isFastLink reports whether ino, a symbolic link, has its target in the inode.
func (ino *foundInode) isFastLink() bool {
	return ino.Flags&flagExtents == 0 && ino.Size <= fastMax
}

// readLink returns the target of ino, a symbolic link, and fills c with where it
// is if that is not the inode.
func (img *Image) readLink(c *content, ino *foundInode, owned *claims) (string, error) {
	if ino.Size < 1 || ino.Size > linkMax {
		return "", corrupt(ino.off, "link target of %d bytes", ino.Size)
	}
	b := ino.Block[:]
	if !ino.isFastLink() {
		if err := img.find(c, ino, owned); err != nil {
			return "", err
		}
		b = make([]byte, ino.Size+1) // the kernel puts a zero there
		if _, err := c.ReadAt(b[:ino.Size], 0); err != nil {
			return "", err
		}
	}
	if n := bytes.IndexByte(b, 0); n != int(ino.Size) {
		return "", corrupt(ino.off, "link target of %d bytes has %d", ino.Size, n)
	}
	return string(b[:ino.Size]), nil
}

// checkPlain refuses a device, fifo or socket that has data. What else is in
// i_block does not count: old kernels left it as it was.
func (ino *foundInode) checkPlain() error {
	if ino.Flags&(flagExtents|flagIndex) != 0 || ino.Size != 0 {
		return corrupt(ino.off, "%s of inode %d has data", ino.kind(), ino.number)
	}
	return nil
}
