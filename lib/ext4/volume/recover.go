package volume

import (
	"fmt"
	"io"

	"ocipipe/lib/ext4/disk"
)

// OpenRecovered is Open for a file system that may not have been unmounted. It shows what
// the next kernel to mount it will see: its journal is replayed, in memory. The recovery takes
// memory by the number of blocks in the journal, whose content is read from there. A file
// system that this does not make clean is a DirtyError; one whose journal is needed and cannot
// be replayed wraps disk.ErrUnsupported or disk.ErrCorrupt.
func OpenRecovered(r io.ReaderAt, size int64, checkFeatures func(*disk.Superblock) error) (*Volume, error) {
	vol, err := Open(r, size, checkFeatures)
	if err != nil {
		return nil, err
	}
	if vol.Super.Incompat&disk.IncompatRecover != 0 {
		if vol, err = vol.recovered(r, size, checkFeatures); err != nil {
			return nil, err
		}
	}
	return vol, CheckState(&vol.Super)
}

// recovered is vol, which was opened with these arguments, after the replay of its journal.
func (vol *Volume) recovered(r io.ReaderAt, size int64, checkFeatures func(*disk.Superblock) error) (*Volume, error) {
	if vol.Super.Compat&disk.CompatJournal == 0 {
		return nil, disk.Corrupt(disk.SuperOffset, "a journal to be replayed, and no journal")
	}
	log, err := vol.OpenJournal()
	if err != nil {
		return nil, err
	}
	if log.Super.Errno != 0 {
		return nil, &DirtyError{Problem: fmt.Sprintf("the journal has been given up by a kernel (error %d)", int32(log.Super.Errno))}
	}
	recovery, err := log.Recover()
	if err != nil {
		return nil, err
	}
	after, err := Open(recovery.Over(r), size, checkFeatures)
	if err != nil {
		return nil, fmt.Errorf("with the journal replayed: %w", err)
	}
	after.Super.Incompat &^= disk.IncompatRecover
	return after, nil
}
