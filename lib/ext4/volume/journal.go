package volume

import (
	"cmp"
	"fmt"

	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
	"ocipipe/lib/tree"
)

// OpenJournal finds the blocks of the journal, and reads and checks its superblock.
func (vol *Volume) OpenJournal() (*journal.Log, error) {
	switch s := &vol.Super; {
	case s.JournalIno == 0 && (s.JournalDev != 0 || s.JournalUUID != [16]byte{}):
		return nil, disk.Unsupported(disk.SuperOffset, "an external journal, on another device")
	case s.JournalIno != disk.JournalIno:
		return nil, disk.Unsupported(disk.SuperOffset, "a journal in inode %d, not %d", s.JournalIno, disk.JournalIno)
	}
	var ino Inode
	if err := vol.LoadInode(&ino, disk.JournalIno); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	runs, err := vol.journalRuns(&ino)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return journal.Open(vol.pages, vol.size, int(vol.block), runs)
}

// journalRuns finds the blocks of the journal.
func (vol *Volume) journalRuns(ino *Inode) (runs []disk.Run, err error) {
	if ino.Type() != tree.File || ino.Flags&disk.FlagInlineData != 0 {
		return nil, disk.Corrupt(ino.Off, "inode %d is no file with blocks", disk.JournalIno)
	}
	var blocks uint64                     // so far
	owned := Claims{BlockSize: vol.block} // finds a block that is used twice, which would make an endless log
	claim := func(block, n uint64) error {
		if end := vol.Super.Blocks(); block == 0 || block >= end || n > end-block {
			return disk.Corrupt(ino.Off, "%d blocks at block %d of %d", n, block, end)
		}
		return owned.Add(block, n)
	}
	err = vol.eachRun(ino, claim, func(r disk.Run, unwritten bool) error {
		if uint64(r.Logical) != blocks || unwritten {
			return disk.Corrupt(ino.Off, "hole at block %d", blocks)
		}
		runs, blocks = append(runs, r), r.End()
		return nil
	})
	if err := cmp.Or(err, owned.Merge()); err != nil {
		return nil, err
	}
	if blocks == 0 {
		return nil, disk.Corrupt(ino.Off, "inode %d is empty", disk.JournalIno)
	}
	return runs, nil
}
