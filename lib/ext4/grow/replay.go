package grow

import (
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/journal"
)

// setLog writes to the superblock of the journal at which block the log begins, 0 if it is
// empty, and with which transaction. It syncs f.
func setLog(f Disk, j *journal.Log, start, sequence uint32) error {
	j.Super.Start, j.Super.Sequence = start, sequence
	b := make([]byte, journal.SuperSize)
	j.Super.Encode(b)
	if _, err := f.WriteAt(b, j.Offset()); err != nil {
		return err
	}
	return f.Sync()
}

// applyRecovery writes the logged blocks to their places and empties the log. super is the
// superblock that it writes last: it needs no recovery, and has the right counts, which
// kernels write only when they unmount. After a crash in between the disk can be recovered
// again.
func applyRecovery(f Disk, rec *journal.Recovery, super *disk.Superblock) error {
	b := make([]byte, disk.BlockSize)
	write := func(block uint64) error {
		if err := rec.ReadBlock(b, block); err != nil {
			return err
		}
		_, err := f.WriteAt(b, int64(block)*disk.BlockSize)
		return err
	}
	if err := writeHome(f, rec.Blocks(), write); err != nil {
		return err
	}
	if rec.Log.Super.Start != 0 {
		if err := setLog(f, rec.Log, 0, rec.End+1); err != nil {
			return err
		}
	}
	return writeSuper(f, super)
}

// writeHome calls write for blocks, which are ascending, and syncs. The superblock goes
// last, after everything that it describes is on the disk, because e2fsck looks at the
// descriptors before it replays a journal.
func writeHome(f Disk, blocks []uint64, write func(block uint64) error) error {
	super := len(blocks) > 0 && blocks[0] == 0
	if super {
		blocks = blocks[1:]
	}
	for _, block := range blocks {
		if err := write(block); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil || !super {
		return err
	}
	if err := write(0); err != nil {
		return err
	}
	return f.Sync()
}

// writeSuper writes the primary superblock and syncs f.
func writeSuper(f Disk, super *disk.Superblock) error {
	b := make([]byte, disk.SuperSize)
	super.Seal(b)
	if _, err := f.WriteAt(b, disk.SuperOffset); err != nil {
		return err
	}
	return f.Sync()
}
