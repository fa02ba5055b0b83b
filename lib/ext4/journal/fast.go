package journal

import (
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
)

// Fast commits (fs/ext4/fast_commit.h) lie in the last blocks of the journal. They tell what
// was done to inodes and names since the last transaction, in little-endian records: a tag, a
// length, a value. The first one is of kind fastHead, and its value has features and the number
// of the transaction that would come next.
const (
	defaultFastBlocks = 256 // JBD2_DEFAULT_FAST_COMMIT_BLOCKS
	fastHead          = 9
	fastHeadSize      = 8
	fastTIDOffset     = 8
)

// checkFast refuses a log with fast commits that come after its last transaction, so that the
// transaction next has not happened. Those that came before it have no meaning any more. One
// that was not written completely is refused like a complete one.
func (j *Log) checkFast(next uint32) error {
	n := j.Super.fastBlocks()
	if n < 2 { // the first block is not used
		return nil
	}
	b := make([]byte, j.block)
	if err := j.readBlock(b, j.Physical(j.Super.Length-n+1)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint16(b) == fastHead && le.Uint16(b[2:]) == fastHeadSize && le.Uint32(b[fastTIDOffset:]) == next {
		return fmt.Errorf("journal: fast commits (fast_commit) after transaction %d, which only a kernel can replay: %w", next-1, disk.ErrUnsupported)
	}
	return nil
}
