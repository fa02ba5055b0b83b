package journal

import (
	"cmp"
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

	r     io.ReaderAt // the file system
	size  int64       // of the file system, in bytes
	block int64       // length of a block
	runs  []disk.Run  // blocks of the journal, without holes
	homes []disk.Run  // runs, in the order in which they lie in the file system
}

// Open reads and checks the superblock of a journal. The file system is the first size
// bytes of r, in blocks of block bytes, and the blocks of the journal in it are runs: at
// least one, without holes.
func Open(r io.ReaderAt, size int64, block int, runs []disk.Run) (*Log, error) {
	j := &Log{r: r, size: size, block: int64(block), runs: runs, homes: slices.Clone(runs)}
	slices.SortFunc(j.homes, func(a, b disk.Run) int { return cmp.Compare(a.Physical, b.Physical) })
	b := make([]byte, SuperSize)
	if err := j.read(b, j.Offset()); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.Super.Decode(b)
	j.Form = j.Super.Form()
	if err := j.Super.check(b, block, j.Blocks()); err != nil {
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
	return j.read(b, int64(block)*j.block)
}

// Offset is where the superblock of the journal is in the file system, in bytes.
func (j *Log) Offset() int64 { return int64(j.Physical(0)) * j.block }

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
	i := sort.Search(len(j.homes), func(i int) bool { return j.homes[i].Physical > block })
	return i > 0 && block-j.homes[i-1].Physical < uint64(j.homes[i-1].Blocks)
}

// end is the block after the log.
func (j *Log) end() uint32 { return j.Super.Length - j.Super.fastBlocks() }

// Next is the block of the log after block n. After the last one comes the first.
func (j *Log) Next(n uint32) uint32 {
	if n++; n < j.end() {
		return n
	}
	return j.Super.First
}
