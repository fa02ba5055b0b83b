package ext4

import (
	"encoding/binary"
	"fmt"

	"ocipipe/lib/tree"
)

// special checks the inodes that no directory has: that of the descriptors to
// come, the journal, the orphan file.
func (a *auditor) special() error {
	s := &a.img.super
	if s.Compat&compatResizeInode != 0 {
		if err := a.resizeInode(); err != nil {
			return fmt.Errorf("resize inode: %w", err)
		}
	} else if s.ReservedGDT != 0 {
		return corrupt(superOffset, "%d blocks are reserved for descriptors without resize_inode", s.ReservedGDT)
	}
	if s.Compat&compatJournal != 0 {
		if err := a.journal(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if s.Compat&compatOrphanFile != 0 {
		if err := a.orphanFile(); err != nil {
			return fmt.Errorf("orphan file: %w", err)
		}
	}
	return nil
}

// hidden reads a file without a name, and takes note of it.
func (a *auditor) hidden(number uint32) (*foundInode, *content, error) {
	ino, err := a.img.readInode(number)
	if err != nil {
		return nil, nil, err
	}
	if ino.kind() != tree.File || ino.Links != 1 {
		return nil, nil, corrupt(ino.off, "inode %d has mode %#o and %d links", number, ino.Mode, ino.Links)
	}
	if !a.source.seen.add(uint64(number)) {
		return nil, nil, corrupt(ino.off, "inode %d serves two purposes", number)
	}
	if ino.Flags&flagExtents == 0 {
		return ino, nil, nil
	}
	c := new(content)
	if err := a.img.find(c, ino, &a.source.owned); err != nil {
		return nil, nil, err
	}
	if c.extents() != nil {
		return nil, nil, corrupt(ino.off, "inode %d has holes", number)
	}
	return ino, c, a.inode(ino, c)
}

// journal checks an empty journal. What kernels wrote to it before may stay.
func (a *auditor) journal() error {
	s := &a.img.super
	j, err := a.img.openJournal()
	if err != nil {
		return err
	}
	ino, c, err := a.hidden(s.JournalIno)
	if err != nil {
		return err
	}
	a.overhead += uint64(c.size / blockSize)
	switch {
	case j.super.Length < journalMinBlocks || c.size%blockSize != 0:
		return corrupt(ino.off, "%d blocks in a file of %d bytes", j.super.Length, c.size)
	case j.super.Start != 0:
		return corrupt(j.at, "is not empty")
	case j.super.Errno != 0:
		return corrupt(j.at, "error %d was noted", int32(j.super.Errno))
	}
	if s.JnlBackupType != journalBackupBlocks {
		return nil
	}
	want := append(ino.Block[:], make([]byte, 8)...)
	binary.LittleEndian.PutUint32(want[60:], uint32(ino.Size>>32))
	binary.LittleEndian.PutUint32(want[64:], uint32(ino.Size))
	if [68]byte(want) != s.JnlBlocks {
		return corrupt(superOffset, "the copy of its inode in the superblock differs")
	}
	return nil
}

// orphanFile checks that the blocks of the orphan file are valid and empty.
func (a *auditor) orphanFile() error {
	ino, c, err := a.hidden(a.img.super.OrphanIno)
	if err != nil {
		return err
	}
	if c == nil || c.size == 0 || c.size%blockSize != 0 {
		return corrupt(ino.off, "%d bytes", ino.Size)
	}
	le, b := binary.LittleEndian, make([]byte, blockSize)
	for _, r := range c.runs {
		for block := r.physical; block < r.physical+uint64(r.blocks); block++ {
			if err := a.img.readBlock(b, block); err != nil {
				return err
			}
			off := int64(block) * blockSize
			if le.Uint32(b[orphanMagicOffset:]) != orphanMagic || a.img.super.hasSums() && le.Uint32(b[orphanSumOffset:]) != ino.sum.orphanBlock(block, b) {
				return corrupt(off, "block %d has a wrong magic number or checksum", block)
			}
			for i := range orphanSlots {
				if number := le.Uint32(b[4*i:]); number != 0 {
					return corrupt(off, "inode %d is to be deleted", number)
				}
			}
		}
	}
	return nil
}

// resizeInode checks inode 7, whose blocks are those reserved for descriptors: its
// double indirect block lists those in the first group, and each of them lists
// its copies.
func (a *auditor) resizeInode() error {
	const pointers = blockSize / 4
	s := &a.img.super
	ino, _, err := a.hidden(resizeIno)
	if err != nil {
		return err
	}
	backups := a.backupAreas()
	reserved := uint64(s.ReservedGDT)
	dind := binary.LittleEndian.Uint32(ino.Block[13*4:])
	want := inode{Mode: ino.Mode, Links: 1, Size: (pointers*pointers + pointers + 12) * blockSize}
	binary.LittleEndian.PutUint32(want.Block[13*4:], dind)
	if want.Blocks = sectorBlocks * (1 + reserved*uint64(1+len(backups))); dind == 0 && reserved == 0 {
		return nil
	}
	if ino.Size != want.Size || ino.Block != want.Block || ino.Blocks != want.Blocks || ino.Flags != 0 {
		return corrupt(ino.off, "has %d bytes, %d sectors, flags %#x, or other blocks than one double indirect", ino.Size, ino.Blocks, ino.Flags)
	}
	if err := a.source.owned.add(uint64(dind), 1); err != nil {
		return err
	}
	list := make([]uint64, pointers)
	for i := range reserved {
		block := 1 + s.descBlocks() + i
		list[(block-1)%pointers] = block
	}
	if err := a.pointers(uint64(dind), list); err != nil {
		return err
	}
	for i := range reserved {
		block := 1 + s.descBlocks() + i
		clear(list)
		for k, at := range backups {
			list[k] = at + block
		}
		if err := a.pointers(block, list); err != nil {
			return err
		}
	}
	return nil
}

// backupAreas are where the groups with copies of the superblock begin, but the
// first.
func (a *auditor) backupAreas() (list []uint64) {
	s := &a.img.super
	for g := uint64(1); g < s.groups(); g++ {
		if s.hasBackup(g) {
			list = append(list, g*uint64(s.BlocksPerGroup))
		}
	}
	return list
}

// pointers compares what an indirect block lists.
func (a *auditor) pointers(block uint64, want []uint64) error {
	b := make([]byte, blockSize)
	if err := a.img.readBlock(b, block); err != nil {
		return err
	}
	for i, w := range want {
		if have := binary.LittleEndian.Uint32(b[4*i:]); uint64(have) != w {
			return corrupt(int64(block)*blockSize+int64(4*i), "block %d of its list is %d, should be %d", i, have, w)
		}
	}
	return nil
}
