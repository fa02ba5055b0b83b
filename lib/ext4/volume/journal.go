package volume

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
)

// OpenJournal finds the blocks of the journal, and reads and checks its superblock.
func (vol *Volume) OpenJournal() (*journal.Log, error) {
	if vol.Super.JournalIno != disk.JournalIno || vol.Super.JournalDev != 0 {
		return nil, disk.Unsupported(disk.SuperOffset, "the journal is on another device, or not inode %d", disk.JournalIno)
	}
	var ino Inode
	if err := vol.LoadInode(&ino, disk.JournalIno); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	runs, err := vol.journalRuns(&ino)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return journal.Open(vol.pages, vol.size, runs)
}

// journalRuns reads the extent tree of the journal.
func (vol *Volume) journalRuns(ino *Inode) (runs []disk.Run, err error) {
	if ino.Mode&disk.ModeKind != disk.ModeFile || ino.Flags&disk.FlagExtents == 0 {
		return nil, disk.Unsupported(ino.Off, "inode %d is no file with extents", disk.JournalIno)
	}
	var blocks uint64 // so far
	var owned Claims  // finds a block that is used twice, which would make an endless log
	w := disk.ExtentReader{
		Read: func(block uint64) ([]byte, error) {
			b := make([]byte, disk.BlockSize)
			if err := vol.ReadBlock(b, block); err != nil {
				return nil, err
			}
			if sum := binary.LittleEndian.Uint32(b[disk.ExtentSumOffset:]); vol.Super.HasSums() && sum != ino.Sum.ExtentBlock(b) {
				return nil, disk.Corrupt(int64(block)*disk.BlockSize, "extent node has a wrong checksum")
			}
			return b, nil
		},
		Visit: func(r disk.Run, unwritten bool) error {
			if uint64(r.Logical) != blocks || unwritten {
				return disk.Corrupt(ino.Off, "hole at block %d", blocks)
			}
			if end := vol.Super.Blocks(); r.Physical == 0 || r.Physical >= end || uint64(r.Blocks) > end-r.Physical {
				return disk.Corrupt(ino.Off, "%d blocks at block %d of %d", r.Blocks, r.Physical, end)
			}
			runs, blocks = append(runs, r), r.End()
			return owned.Add(r.Physical, uint64(r.Blocks))
		},
	}
	if err := cmp.Or(w.Walk(ino.Block[:]), owned.Merge()); err != nil {
		return nil, err
	}
	if blocks == 0 {
		return nil, disk.Corrupt(ino.Off, "inode %d is empty", disk.JournalIno)
	}
	return runs, nil
}
