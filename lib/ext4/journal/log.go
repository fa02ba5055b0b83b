package journal

import (
	"fmt"
	"io"
	"slices"
	"sort"

	"ocipipe/lib/ext4/disk"
)

// Log is the journal inside a file system.
type Log struct {
	Super Super
	Form  Form

	r    io.ReaderAt // the file system
	size int64       // of the file system, in bytes
	runs []disk.Run  // blocks of the journal, without holes
}

// Open reads and checks the superblock of a journal. The file system is the first size
// bytes of r, and the blocks of the journal in it are runs: at least one, without holes.
func Open(r io.ReaderAt, size int64, runs []disk.Run) (*Log, error) {
	j := &Log{r: r, size: size, runs: runs}
	b := make([]byte, SuperSize)
	if err := j.read(b, j.Offset()); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.Super.Decode(b)
	j.Form = j.Super.Form()
	if err := j.Super.check(b, j.Blocks()); err != nil {
		return nil, err
	}
	return j, nil
}

// read fills b from byte off of the file system on.
func (j *Log) read(b []byte, off int64) error {
	if n, err := j.r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("byte %d: %w", off+int64(n), err)
	}
	return nil
}

// readBlock fills b with a block of the file system.
func (j *Log) readBlock(b []byte, block uint64) error {
	return j.read(b[:disk.BlockSize], int64(block)*disk.BlockSize)
}

// Offset is where the superblock of the journal is in the file system, in bytes.
func (j *Log) Offset() int64 { return int64(j.Physical(0)) * disk.BlockSize }

// Blocks is the length of the journal's file, in blocks.
func (j *Log) Blocks() int64 {
	if len(j.runs) == 0 {
		return 0
	}
	return int64(j.runs[len(j.runs)-1].End())
}

// Physical is the block of the file system that block n of the journal is.
func (j *Log) Physical(n uint32) uint64 {
	i := sort.Search(len(j.runs), func(i int) bool { return j.runs[i].End() > uint64(n) })
	return j.runs[i].Physical + uint64(n-j.runs[i].Logical)
}

// owns reports whether block, a block of the file system, belongs to the journal.
func (j *Log) owns(block uint64) bool {
	return slices.ContainsFunc(j.runs, func(r disk.Run) bool {
		return block >= r.Physical && block-r.Physical < uint64(r.Blocks)
	})
}

// Next is the block of the log after block n. After the last one comes the first.
func (j *Log) Next(n uint32) uint32 {
	if n++; n < j.Super.Length {
		return n
	}
	return j.Super.First
}
