package audit

import (
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/tree"
)

// special checks the inodes without a name: the resize inode, the journal, the orphan file.
func (a *auditor) special() error {
	s := &a.vol.Super
	if s.Compat&disk.CompatResizeInode != 0 {
		if err := a.resizeInode(); err != nil {
			return fmt.Errorf("resize inode: %w", err)
		}
	} else if s.ReservedGDT != 0 {
		return disk.Corrupt(disk.SuperOffset, "%d blocks are reserved for descriptors without resize_inode", s.ReservedGDT)
	}
	if s.Compat&disk.CompatJournal != 0 {
		if err := a.journal(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if s.Compat&disk.CompatOrphanFile != 0 {
		if err := a.orphanFile(); err != nil {
			return fmt.Errorf("orphan file: %w", err)
		}
	}
	return nil
}

// hidden reads a file without a name, and claims its inode and blocks. The content is nil
// if the file has no extents.
func (a *auditor) hidden(number uint32) (*volume.Inode, *volume.Content, error) {
	ino, err := a.vol.ReadInode(number)
	if err != nil {
		return nil, nil, err
	}
	if ino.Type() != tree.File || ino.Links != 1 {
		return nil, nil, disk.Corrupt(ino.Off, "inode %d has mode %#o and %d links", number, ino.Mode, ino.Links)
	}
	if !a.source.Seen.Add(uint64(number)) {
		return nil, nil, disk.Corrupt(ino.Off, "inode %d serves two purposes", number)
	}
	if ino.Flags&disk.FlagExtents == 0 {
		return ino, nil, nil
	}
	c := new(volume.Content)
	if err := a.vol.FindContent(c, ino, &a.source.Owned); err != nil {
		return nil, nil, err
	}
	if c.Extents() != nil {
		return nil, nil, disk.Corrupt(ino.Off, "inode %d has holes", number)
	}
	return ino, c, a.inode(ino, c)
}

// journal checks the journal, which has to be empty: what kernels wrote to the log before
// does not matter.
func (a *auditor) journal() error {
	s := &a.vol.Super
	j, err := a.vol.OpenJournal()
	if err != nil {
		return err
	}
	ino, c, err := a.hidden(s.JournalIno)
	if err != nil {
		return err
	}
	a.overhead += uint64(c.Size / disk.BlockSize)
	switch {
	case j.Super.Length < journal.MinBlocks || c.Size%disk.BlockSize != 0:
		return disk.Corrupt(ino.Off, "%d blocks in a file of %d bytes", j.Super.Length, c.Size)
	case j.Super.Start != 0:
		return disk.Corrupt(j.Offset(), "is not empty")
	case j.Super.Errno != 0:
		return disk.Corrupt(j.Offset(), "error %d was noted", int32(j.Super.Errno))
	}
	if s.JnlBackupType != disk.JournalBackupBlocks {
		return nil
	}
	want := append(ino.Block[:], make([]byte, 8)...)
	binary.LittleEndian.PutUint32(want[60:], uint32(ino.Size>>32))
	binary.LittleEndian.PutUint32(want[64:], uint32(ino.Size))
	if [68]byte(want) != s.JnlBlocks {
		return disk.Corrupt(disk.SuperOffset, "the copy of its inode in the superblock differs")
	}
	return nil
}

// orphanFile checks that the blocks of the orphan file are valid and empty.
func (a *auditor) orphanFile() error {
	ino, c, err := a.hidden(a.vol.Super.OrphanIno)
	if err != nil {
		return err
	}
	if c == nil || c.Size == 0 || c.Size%disk.BlockSize != 0 {
		return disk.Corrupt(ino.Off, "%d bytes", ino.Size)
	}
	le, b := binary.LittleEndian, make([]byte, disk.BlockSize)
	for _, r := range c.Runs {
		for block := r.Physical; block < r.Physical+uint64(r.Blocks); block++ {
			if err := a.vol.ReadBlock(b, block); err != nil {
				return err
			}
			off := int64(block) * disk.BlockSize
			if le.Uint32(b[disk.OrphanMagicOffset:]) != disk.OrphanMagic || a.vol.Super.HasSums() && le.Uint32(b[disk.OrphanSumOffset:]) != ino.Sum.OrphanBlock(block, b) {
				return disk.Corrupt(off, "block %d has a wrong magic number or checksum", block)
			}
			for i := range disk.OrphanSlots {
				if number := le.Uint32(b[4*i:]); number != 0 {
					return disk.Corrupt(off, "inode %d is to be deleted", number)
				}
			}
		}
	}
	return nil
}

// resizeInode checks inode 7, which owns the blocks that are reserved for descriptors. Its
// double indirect block lists those in the first group, and each of these lists its
// copies.
func (a *auditor) resizeInode() error {
	const pointers = disk.PointersPerBlock
	s := &a.vol.Super
	ino, _, err := a.hidden(disk.ResizeIno)
	if err != nil {
		return err
	}
	backups := a.backupAreas()
	reserved := uint64(s.ReservedGDT)
	dind := binary.LittleEndian.Uint32(ino.Block[disk.ResizeSlot*disk.PointerSize:])
	want := disk.Inode{Mode: ino.Mode, Links: 1, Size: (pointers*pointers + pointers + disk.ResizeSlot - 1) * disk.BlockSize}
	binary.LittleEndian.PutUint32(want.Block[disk.ResizeSlot*disk.PointerSize:], dind)
	if want.Blocks = disk.SectorBlocks * (1 + reserved*uint64(1+len(backups))); dind == 0 && reserved == 0 {
		return nil
	}
	if ino.Size != want.Size || ino.Block != want.Block || ino.Blocks != want.Blocks || ino.Flags != 0 {
		return disk.Corrupt(ino.Off, "has %d bytes, %d sectors, flags %#x, or other blocks than one double indirect", ino.Size, ino.Blocks, ino.Flags)
	}
	if err := a.source.Owned.Add(uint64(dind), 1); err != nil {
		return err
	}
	list := make([]uint64, pointers)
	for i := range reserved {
		block := 1 + s.DescBlocks() + i
		list[(block-1)%pointers] = block
	}
	if err := a.pointers(uint64(dind), list); err != nil {
		return err
	}
	for i := range reserved {
		block := 1 + s.DescBlocks() + i
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

// backupAreas returns the first block of each group with a copy of the superblock.
func (a *auditor) backupAreas() (list []uint64) {
	s := &a.vol.Super
	for g := uint64(1); g < s.Groups(); g++ {
		if s.HasBackup(g) {
			list = append(list, g*uint64(s.BlocksPerGroup))
		}
	}
	return list
}

// pointers compares the list in an indirect block with want.
func (a *auditor) pointers(block uint64, want []uint64) error {
	b := make([]byte, disk.BlockSize)
	if err := a.vol.ReadBlock(b, block); err != nil {
		return err
	}
	for i, w := range want {
		if have := binary.LittleEndian.Uint32(b[4*i:]); uint64(have) != w {
			return disk.Corrupt(int64(block)*disk.BlockSize+int64(4*i), "block %d of its list is %d, should be %d", i, have, w)
		}
	}
	return nil
}
