package journal

import (
	"encoding/binary"
	"fmt"

	"ocipipe/lib/ext4/disk"
)

// Transaction is a complete transaction in the log.
type Transaction struct {
	Sequence uint32
	Tags     []Tag
	Data     []uint32 // for each tag, the block of the log with the data
	Revoked  []uint64
}

// logScan goes through the log as jbd2's do_one_pass does.
type logScan struct {
	j        *Log
	at       uint32 // the next block of the log
	left     int64  // blocks of the log that have not been read
	found    []Transaction
	open     Transaction // its commit block has not been read yet
	v1       uint32      // checksum over the blocks of open
	suspect  bool        // open has a wrong checksum: it is damaged, or left from an older log
	lastTime uint64      // of the last valid commit
}

// Scan finds the transactions of the log, and the sequence number of the first one that
// it does not have. The log ends at a transaction without a commit block, which has not
// happened. A damaged transaction with a commit block is an error, unless the time of the
// commit shows that it was left from an older log.
func (j *Log) Scan() (found []Transaction, end uint32, err error) {
	s := logScan{j: j, at: j.Super.Start, left: int64(j.end() - j.Super.First), v1: ^uint32(0)}
	s.open.Sequence = j.Super.Sequence
	b := make([]byte, j.block)
	for {
		if s.left < 0 && !s.suspect { // one block more than the log has may be read, to see its end
			return nil, 0, fmt.Errorf("journal: transaction %d is longer than the journal: %w", s.open.Sequence, disk.ErrCorrupt)
		}
		if s.left < 0 {
			return s.found, s.open.Sequence, nil
		}
		at, err := s.block(b)
		if err != nil {
			return nil, 0, err
		}
		head, ok := DecodeHead(b)
		if !ok || head.Sequence != s.open.Sequence {
			return s.found, s.open.Sequence, nil
		}
		more := false
		switch head.Kind {
		case KindDescriptor:
			more, err = true, s.descriptor(b)
		case KindRevoke:
			more, err = true, s.revoke(b)
		case KindCommit:
			more, err = s.commit(b)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("journal: block %d, transaction %d: %w", at, head.Sequence, err)
		}
		if !more {
			return s.found, s.open.Sequence, nil
		}
	}
}

// block reads the next block of the log and returns its number.
func (s *logScan) block(b []byte) (at uint32, err error) {
	at = s.at
	s.at = s.j.Next(at)
	s.left--
	return at, s.j.readBlock(b, s.j.Physical(at))
}

func (s *logScan) descriptor(b []byte) error {
	s.suspect = s.suspect || !s.j.Form.tailOK(b)
	if s.j.Form.Sums == 1 {
		s.v1 = crc32BE(s.v1, b)
	}
	tags := s.j.Form.decodeTags(b)
	if s.left -= int64(len(tags)); s.left < 0 {
		return nil
	}
	for _, t := range tags {
		if s.j.Form.Sums == 1 {
			if err := s.j.readBlock(b, s.j.Physical(s.at)); err != nil {
				return err
			}
			s.v1 = crc32BE(s.v1, b)
		}
		s.open.Tags = append(s.open.Tags, t)
		s.open.Data = append(s.open.Data, s.at)
		s.at = s.j.Next(s.at)
	}
	return nil
}

func (s *logScan) revoke(b []byte) error {
	if !s.j.Form.tailOK(b) {
		s.suspect = true
		return nil
	}
	blocks, err := s.j.Form.decodeRevoked(b)
	s.open.Revoked = append(s.open.Revoked, blocks...)
	return err
}

func (s *logScan) commit(b []byte) (more bool, err error) {
	time := binary.BigEndian.Uint64(b[CommitTimeOffset:])
	if s.suspect || !s.j.Form.commitOK(b, s.v1) {
		if time < s.lastTime {
			return false, nil
		}
		return false, disk.Broken("a wrong checksum in a transaction with a commit")
	}
	s.lastTime = time
	s.found = append(s.found, s.open)
	s.open = Transaction{Sequence: s.open.Sequence + 1}
	s.v1 = ^uint32(0)
	return true, nil
}
