package journal

import (
	"bytes"
	"encoding/binary"
)

// Block is a block of the file system and the data that a transaction gives it.
type Block struct {
	Number uint64
	Data   []byte
}

// tagsPerDescriptor is how many blocks one descriptor has room for.
func (f *Form) tagsPerDescriptor() int {
	return (f.room() - HeadSize - uuidSize) / f.tagSize()
}

// TransactionLength is how many blocks of the log a transaction that changes n blocks takes.
func (f *Form) TransactionLength(n int) int {
	per := f.tagsPerDescriptor()
	return (n+per-1)/per + n + 1
}

// Transaction encodes a transaction. It returns the blocks of the log, in order.
func (f *Form) Transaction(sequence uint32, blocks []Block) (log [][]byte) {
	v1 := ^uint32(0)
	for len(blocks) > 0 {
		n := min(len(blocks), f.tagsPerDescriptor())
		for _, b := range f.descriptor(sequence, blocks[:n]) {
			if f.Sums == 1 {
				v1 = crc32BE(v1, b)
			}
			log = append(log, b)
		}
		blocks = blocks[n:]
	}
	commit := make([]byte, f.size)
	Head{KindCommit, sequence}.Encode(commit)
	switch {
	case f.Sums == 1:
		commit[HeadSize], commit[HeadSize+1] = sumCRC32, commitSumSize
		binary.BigEndian.PutUint32(commit[CommitSumOffset:], v1)
	case f.Sums > 1:
		binary.BigEndian.PutUint32(commit[CommitSumOffset:], f.CommitSum(commit))
	}
	return append(log, commit)
}

// descriptor returns a descriptor of blocks, followed by the blocks as the log has them.
func (f *Form) descriptor(sequence uint32, blocks []Block) (log [][]byte) {
	head := make([]byte, f.size)
	Head{KindDescriptor, sequence}.Encode(head)
	log = append(log, head)
	off := HeadSize
	for i, b := range blocks {
		data, escaped := escape(b.Data)
		t := Tag{Block: b.Number, sum: f.tagSum(sequence, data)}
		if f.Sums < 2 {
			t.sum = 0
		}
		if escaped {
			t.Flags |= TagEscaped
		}
		if i > 0 {
			t.Flags |= TagSameUUID
		}
		if i == len(blocks)-1 {
			t.Flags |= TagLast
		}
		f.EncodeTag(head[off:], t)
		off += f.tagSize()
		if i == 0 {
			off += copy(head[off:], f.uuid[:])
		}
		log = append(log, data)
	}
	if f.Sums > 1 {
		binary.BigEndian.PutUint32(head[f.size-TailSize:], f.TailSum(head))
	}
	return log
}

// escape returns data in the form in which the log stores it: if it begins like a header,
// a copy that does not.
func escape(data []byte) (stored []byte, escaped bool) {
	if binary.BigEndian.Uint32(data) != Magic {
		return data, false
	}
	stored = bytes.Clone(data)
	clear(stored[:4])
	return stored, true
}

// unescape undoes escape in place.
func unescape(data []byte) { binary.BigEndian.PutUint32(data, Magic) }
