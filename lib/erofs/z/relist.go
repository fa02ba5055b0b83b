package z

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
)

// Relisting lists the extents of a file anew: one image lists them, and another one, which has
// the first as a device, refers to the same clusters at their addresses there. It keeps nothing
// of the extents.
type Relisting struct {
	Header       // of the new list
	Stored int64 // bytes of all clusters
	first  int64 // where the first cluster is stored, bytes
}

// Usage is what a file system has to have for the files that it lists.
type Usage struct {
	Algorithms uint16 // 1<<algorithm for each
	Largest    int64  // LZ4 cluster, bytes; what is Exact may lie in one block more
	Big        bool   // there are clusters of several blocks, or other algorithms than LZ4
	Exact      bool   // there are encoded extents
	Partial    bool   // there are partial or rotated clusters
}

// NewRelisting reads xs, the extents of a file of size bytes, and chooses the new form. from is
// the header that the file has now; blocks have bs bytes, and the image that holds the clusters
// has end bytes. NewRelisting adds to u what the file needs.
//
// The new list has the same extents. It is compact if it can be; records of encoded extents
// stay what they are, except that 8 bytes become 16. The error wraps ErrNoIndex if extents are
// not in blocks of the image, ErrCorrupt if they are not in the image.
func NewRelisting(xs iter.Seq2[Extent, error], from Header, size, end, bs int64, u *Usage) (Relisting, error) {
	p := relistPlan{Relisting: Relisting{Header: Header{Index: from.Index}}, u: u, bs: bs, end: end, compact: bs <= 1<<minLowBits}
	for x, err := range xs {
		if err == nil {
			err = p.note(&x)
		}
		if err != nil {
			return p.Relisting, err
		}
	}
	p.Head1, p.Head2 = p.algorithm(0), p.algorithm(1)
	if from.Advise&AdviseInterlaced != 0 {
		p.Advise = AdviseInterlaced
	}
	if from.Index == Encoded {
		p.chooseRecords(from, size)
	} else {
		p.chooseIndex()
	}
	return p.Relisting, nil
}

// relistPlan looks at the extents of a file.
type relistPlan struct {
	Relisting
	u       *Usage
	bs, end int64
	heads   []Algorithm // other than Raw, that the file has
	count   int64
	next    int64 // where the next cluster has to be if they lie in a row
	compact bool  // a compact index can list them
	big     bool  // a cluster has several blocks, or is not of LZ4
	big2    bool  // one that is raw or of the second algorithm has several blocks
}

// note looks at one more extent.
func (p *relistPlan) note(x *Extent) error {
	p.count++
	switch {
	case x.Fragment:
		return fmt.Errorf("%w: byte %d is in another file, with parts of many", ErrNoIndex, x.Off)
	case x.Exact && p.Index != Encoded:
		return fmt.Errorf("%w: byte %d is behind the index", ErrNoIndex, x.Off)
	case x.Size == 0 && p.Index == Encoded: // a hole
		return nil
	case x.Pos > p.end || x.Size > p.end-x.Pos:
		return corrupt("extent at %d: cluster of %d bytes at %d is beyond the end of the image at %d", x.Off, x.Size, x.Pos, p.end)
	case x.Algorithm == LZMA:
		return unsupported("extent at %d: %s", x.Off, x.Algorithm)
	}
	if p.Stored == 0 {
		p.first, p.next = x.Pos, x.Pos
	}
	k, err := p.head(x)
	if err != nil {
		return err
	}
	p.big = p.big || x.Size > p.bs || k >= 0 && x.Algorithm != LZ4
	p.big2 = p.big2 || k != 0 && x.Size > p.bs
	p.compact = p.compact && x.Pos == p.next && !x.Partial && k < 1
	p.Stored, p.next = p.Stored+x.Size, x.Pos+x.Size
	p.u.Partial = p.u.Partial || x.Partial || x.Rotated
	if x.Algorithm == LZ4 {
		p.u.Largest = max(p.u.Largest, x.Size)
	}
	return nil
}

// head returns which algorithm of the file x has: 0 or 1; -1 if it is raw.
func (p *relistPlan) head(x *Extent) (int, error) {
	if x.Algorithm == Raw {
		return -1, nil
	}
	for k, a := range p.heads {
		if a == x.Algorithm {
			return min(k, 1), nil
		}
	}
	if p.Index != Encoded && len(p.heads) == 2 {
		return 0, fmt.Errorf("%w: three algorithms in one file", ErrNoIndex)
	}
	p.heads = append(p.heads, x.Algorithm)
	p.u.Algorithms |= 1 << x.Algorithm
	return min(len(p.heads)-1, 1), nil
}

// algorithm is the algorithm k of the file; LZ4, which is 0 in a header, if there is none.
func (p *relistPlan) algorithm(k int) Algorithm {
	if k < len(p.heads) && p.Index != Encoded {
		return p.heads[k]
	}
	return LZ4
}

func (p *relistPlan) chooseRecords(from Header, size int64) {
	p.u.Exact = true
	record := from.Advise.RecordSize()
	switch {
	case record == recordWord:
		p.ClusterBits = from.ClusterBits
	case size>>32 != 0:
		record = recordLong
	default:
		record = max(record, recordFull)
	}
	p.Advise |= AdviseRecord(bits.TrailingZeros64(uint64(record / recordWord)))
	p.Extents = p.count
}

func (p *relistPlan) chooseIndex() {
	p.Index = Full
	p.u.Big = p.u.Big || p.big
	if p.compact {
		p.Index = Compact
		p.Advise |= AdvisePacks
	}
	if p.big {
		p.Advise |= AdviseBig1
	}
	if p.big && (p.compact || p.big2 || len(p.heads) > 1) {
		p.Advise |= AdviseBig2
	}
}

// records is the form of the list of a file of size bytes, if the extents are encoded.
func (r *Relisting) records() Records {
	return Records{Size: r.Advise.RecordSize(), SizeBits: r.ClusterBits, Count: r.Extents}
}

// Bytes is the length of the header at the offset at of the image, and of the list of the
// extents of a file of size bytes in blocks of bs bytes.
func (r *Relisting) Bytes(at, size, bs int64) int64 {
	switch r.Index {
	case Encoded:
		return r.records().Bytes(at)
	case Compact:
		return CompactSize(at, size, bs)
	}
	return FullSize(size, bs)
}

// relistBuf is how many bytes of a list are made before put gets them.
const relistBuf = 32 << 10

// Write calls put with the pieces of the header and the list of xs, which are as for
// NewRelisting. The header is at the offset at of the image, and the clusters are shift bytes,
// whole blocks, after where xs have them. Write stops at the first error of put. An error wraps
// ErrCorrupt if xs are not what they were.
func (r *Relisting) Write(xs iter.Seq2[Extent, error], at, shift, size, bs int64, put func(b []byte) error) error {
	want := r.Bytes(at, size, bs)
	w := relistWriter{Relisting: r, b: r.Header.Append(make([]byte, 0, relistBuf+largePack)), put: put}
	var err error
	if r.Index == Encoded {
		err = w.writeRecords(xs, at, shift)
	} else {
		err = w.writeIndex(xs, at, shift, size, bs)
	}
	if err == nil {
		err = w.flush()
	}
	if err == nil && w.written != want {
		err = corrupt("%d bytes of extents were %d before", w.written, want)
	}
	return err
}

// relistWriter makes a list in pieces.
type relistWriter struct {
	*Relisting
	b       []byte
	written int64
	put     func(b []byte) error
}

// flush passes on what there is.
func (w *relistWriter) flush() error {
	w.written += int64(len(w.b))
	err := w.put(w.b)
	w.b = w.b[:0]
	return err
}

// each calls fn for each of xs at its new address, and flushes now and then.
func (w *relistWriter) each(xs iter.Seq2[Extent, error], shift int64, fn func(x *Extent) error) error {
	for x, err := range xs {
		if err == nil {
			if x.Size > 0 {
				x.Pos += shift
			}
			err = fn(&x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *relistWriter) writeRecords(xs iter.Seq2[Extent, error], at, shift int64) error {
	r := w.records()
	w.b = append(w.b, make([]byte, r.begin(at)-at-HeaderSize)...)
	if r.Size == recordWord {
		w.b = binary.LittleEndian.AppendUint64(w.b, uint64(w.first+shift))
	}
	return w.each(xs, shift, func(x *Extent) error {
		if w.b = r.appendRecord(w.b, x); len(w.b) < relistBuf {
			return nil
		}
		return w.flush()
	})
}

func (w *relistWriter) writeIndex(xs iter.Seq2[Extent, error], at, shift, size, bs int64) error {
	var failed error
	big := w.Advise&AdviseBig1 != 0
	k := packer{left: packingOf(at, size, bs), big: big}
	l := blockLister{size: size, bs: bs, fn: func(e indexEntry) {
		if w.Index == Compact {
			k.b = w.b
			k.add(e)
			w.b = k.b
		} else {
			w.b = e.appendFull(w.b, big)
		}
		if len(w.b) >= relistBuf && failed == nil {
			failed = w.flush()
		}
	}}
	if w.Index == Full {
		w.b = append(w.b, make([]byte, fullReserved)...)
	}
	err := w.each(xs, shift, func(x *Extent) error {
		if err := w.check(x, &l); err != nil {
			return err
		}
		if err := l.add(x, w.kind(x)); err != nil {
			return err
		}
		return failed
	})
	if err == nil {
		err = l.finish()
	}
	if k.b = w.b; len(k.pack) > 0 {
		k.flush()
	}
	w.b = k.b
	if err == nil {
		err = failed
	}
	return err
}

// check returns an error unless x can be the next extent of l.
func (w *relistWriter) check(x *Extent, l *blockLister) error {
	switch blocks, next := x.Size/l.bs, x.Off/l.bs+1; {
	case x.Off != l.end || x.Len <= 0 || x.Len > l.size-l.end:
		return fmt.Errorf("%w: %d+%d in a file of %d bytes follows byte %d", ErrNoIndex, x.Off, x.Len, l.size, l.end)
	case x.Exact || blocks <= 0 || blocks >= blockCount || (x.Size|x.Pos)%l.bs != 0 || x.Pos/l.bs >= 1<<32:
		return fmt.Errorf("%w: byte %d is not in whole blocks: %d+%d", ErrNoIndex, x.Off, x.Pos, x.Size)
	case blocks > 1 && headAfter(x, l.size, l.bs) <= next && !l.endsAfter(x, next):
		return fmt.Errorf("%w: cluster of %d blocks for %d bytes at %d", ErrNoIndex, blocks, x.Len, x.Off)
	}
	return nil
}

// kind is the kind of the head of x.
func (w *relistWriter) kind(x *Extent) uint8 {
	switch x.Algorithm {
	case Raw:
		return plain
	case w.Head1:
		return head1
	}
	return head2
}
