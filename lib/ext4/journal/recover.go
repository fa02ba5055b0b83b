package journal

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"ocipipe/lib/ext4/disk"
)

// Recovery is the blocks that the journal of a file system holds, to be replayed.
type Recovery struct {
	Log  *Log
	home map[uint64]logged // the last version of each block, by its home in the file system
	End  uint32            // sequence number after that of the last transaction
}

// logged is a block in the log.
type logged struct {
	at      uint64 // where it is: a block of the file system
	escaped bool
}

// Recover reads the log and checks the transactions to be replayed. It writes nothing.
func (j *Log) Recover() (*Recovery, error) {
	rec := &Recovery{Log: j, home: make(map[uint64]logged), End: j.Super.Sequence}
	if j.Super.Start == 0 {
		return rec, nil
	}
	found, end, err := j.Scan()
	if err == nil {
		err = j.checkFast(end)
	}
	if err != nil {
		return nil, err
	}
	rec.End = end
	revoked := make(map[uint64]uint32) // the last transaction that revokes each block; numbers may wrap
	for _, t := range found {
		for _, block := range t.Revoked {
			revoked[block] = t.Sequence
		}
	}
	for _, t := range found {
		for i, tag := range t.Tags {
			if last, ok := revoked[tag.Block]; ok && int32(last-t.Sequence) >= 0 {
				continue
			}
			if err := rec.add(&t, i); err != nil {
				return nil, fmt.Errorf("journal: transaction %d: %w", t.Sequence, err)
			}
		}
	}
	return rec, nil
}

// add checks the i-th block of t and adds it to rec.
func (rec *Recovery) add(t *Transaction, i int) error {
	j, tag := rec.Log, t.Tags[i]
	if tag.Block >= uint64(j.size/j.block) || j.owns(tag.Block) {
		return disk.Broken("block %d, which no transaction may change", tag.Block)
	}
	at := j.Physical(t.Data[i])
	if j.Form.Sums > 1 {
		b := make([]byte, j.block)
		if err := j.readBlock(b, at); err != nil {
			return err
		}
		if !j.Form.dataOK(tag, t.Sequence, b) {
			return disk.Broken("block %d has a wrong checksum", tag.Block)
		}
	}
	rec.home[tag.Block] = logged{at: at, escaped: tag.Flags&TagEscaped != 0}
	return nil
}

// Blocks returns the numbers of the blocks of the file system that the log has, ascending.
func (rec *Recovery) Blocks() []uint64 { return slices.Sorted(maps.Keys(rec.home)) }

// ReadBlock fills b with the logged version of block, which is one of Blocks.
func (rec *Recovery) ReadBlock(b []byte, block uint64) error {
	l := rec.home[block]
	if err := rec.Log.readBlock(b, l.at); err != nil {
		return err
	}
	if l.escaped {
		unescape(b)
	}
	return nil
}

// Over returns a reader of the file system in r as it will be after the recovery: blocks
// that the log has are read from there.
func (rec *Recovery) Over(r io.ReaderAt) io.ReaderAt {
	if len(rec.home) == 0 {
		return r
	}
	return &recovered{r, rec}
}

// recovered is the file system as it will be after the recovery.
type recovered struct {
	r   io.ReaderAt
	rec *Recovery
}

// ReadAt implements io.ReaderAt.
func (v *recovered) ReadAt(p []byte, off int64) (n int, err error) {
	size := v.rec.Log.block
	var b []byte // a block of the log
	for n < len(p) {
		part := p[n:min(len(p), n+int(v.plain(off, int64(len(p)-n))))]
		if len(part) > 0 {
			if m, err := v.r.ReadAt(part, off); m < len(part) {
				return n + m, err
			}
		} else {
			if b == nil {
				b = make([]byte, size)
			}
			if err := v.rec.ReadBlock(b, uint64(off/size)); err != nil {
				return n, err
			}
			part = p[n:]
			part = part[:copy(part, b[off%size:])]
		}
		n, off = n+len(part), off+int64(len(part))
	}
	return n, nil
}

// plain is how many of the n bytes from off on lie before the next block that the log has.
func (v *recovered) plain(off, n int64) int64 {
	size := v.rec.Log.block
	end := off + n
	for at := off - off%size; at < end; at += size {
		if _, ok := v.rec.home[uint64(at/size)]; ok {
			return max(at-off, 0)
		}
	}
	return n
}
