package z

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxDelta is stored for all longer distances.
const maxDelta = blockCount - 1

// ErrNoIndex is wrapped by the errors about extents that an index cannot list.
var ErrNoIndex = errors.New("no index can list these extents")

// Big reports whether a cluster of xs has more than one block, or is not of LZ4: then the file
// system needs the feature of big clusters. Raw extents have no clusters of their own.
func Big(xs []Extent, bs int64) bool {
	for i := range xs {
		if x := &xs[i]; x.Algorithm != Raw && (x.Size > bs || x.Algorithm != LZ4) {
			return true
		}
	}
	return false
}

// indexEntry is what an index says of one block of the file.
type indexEntry struct {
	kind    uint8
	off     uint16 // where in the block the extent begins; 0 for nonhead
	partial bool
	block   uint32 // of a head: address of its cluster
	blocks  uint16 // length of that cluster
	back    int64  // of nonhead: distance to the head
	ahead   int64  // the same to the next head, or to the end
}

// blockLister makes the entries of an index, one cluster after the other.
type blockLister struct {
	size, bs int64 // of the file and of a block, bytes
	fn       func(e indexEntry)

	end     int64 // of the file so far
	next    int64 // first block without an entry
	address int64 // block after the last cluster
}

// add lists the cluster of x, which may begin at l.end, as one whose head is of this kind.
func (l *blockLister) add(x *Extent, kind uint8) error {
	first := x.Off / l.bs
	if first < l.next {
		return fmt.Errorf("%w: two begin in block %d", ErrNoIndex, first)
	}
	l.next = max(headAfter(x, l.size, l.bs), first+1)
	if x.Size > l.bs && l.next == first+1 && l.endsAfter(x, l.next) {
		l.next++ // the last block has to say how long the cluster is
	}
	head := indexEntry{kind: kind, off: uint16(x.Off % l.bs), partial: x.Partial, block: uint32(x.Pos / l.bs), blocks: uint16(x.Size / l.bs)}
	l.fn(head)
	for b := first + 1; b < l.next; b++ {
		l.fn(indexEntry{kind: nonhead, blocks: head.blocks, back: b - first, ahead: l.next - b})
	}
	l.address = (x.Pos + x.Size) / l.bs
	l.end = x.End()
	return nil
}

// endsAfter reports whether x is the end of the file, some of it in the given block.
func (l *blockLister) endsAfter(x *Extent, block int64) bool {
	return x.End() == l.size && l.size > block*l.bs
}

// finish lists the end of the file.
func (l *blockLister) finish() error {
	if l.end != l.size {
		return fmt.Errorf("%w: they end at byte %d of %d", ErrNoIndex, l.end, l.size)
	}
	if l.next*l.bs < l.size { // the last extent ends in the middle of the last block
		l.fn(indexEntry{kind: plain, off: uint16(l.size % l.bs), block: uint32(l.address)})
	}
	return nil
}

// eachEntry calls fn for the entries of an index of xs, which make up a file of size bytes.
func eachEntry(xs []Extent, size, bs int64, fn func(e indexEntry)) error {
	l := blockLister{size: size, bs: bs, fn: fn}
	alg := Raw
	for i := range xs {
		x := &xs[i]
		if err := checkExtent(x, l.end, size, bs); err != nil {
			return err
		}
		kind := uint8(plain)
		if x.Algorithm != Raw {
			if kind = head1; alg != Raw && alg != x.Algorithm {
				return fmt.Errorf("%w: two algorithms in one file", ErrNoIndex)
			}
			alg = x.Algorithm
		}
		for piece := range pieces(x, bs) {
			if err := l.add(&piece, kind); err != nil {
				return err
			}
		}
	}
	return l.finish()
}

// checkExtent returns an error unless an index can list x as the extent that begins at end.
func checkExtent(x *Extent, end, size, bs int64) error {
	switch {
	case x.Off != end || x.Len <= 0 || x.Len > size-end:
		return fmt.Errorf("%w: %d+%d in a file of %d bytes follows byte %d", ErrNoIndex, x.Off, x.Len, size, end)
	case x.Exact || x.Size <= 0 || x.Size%bs != 0 || x.Pos%bs != 0:
		return fmt.Errorf("%w: byte %d is not in whole blocks: %d+%d", ErrNoIndex, x.Off, x.Pos, x.Size)
	case x.Algorithm == Raw && x.Len > x.Size, x.Algorithm != Raw && (x.Size > maxCluster(bs) || x.Size >= x.Len):
		return fmt.Errorf("%w: cluster of %d bytes for %d", ErrNoIndex, x.Size, x.Len)
	}
	return nil
}

// maxCluster is how long a cluster is at most that an index can list, in bytes: the format
// allows MaxEncoded, but an entry has only 11 bits for the number of blocks.
func maxCluster(bs int64) int64 { return min(MaxEncoded, (blockCount-1)*bs) }

// pieces calls yield for the clusters of x: x itself, or, if it is raw, each of its blocks.
func pieces(x *Extent, bs int64) func(yield func(Extent) bool) {
	return func(yield func(Extent) bool) {
		if x.Algorithm != Raw {
			yield(*x)
			return
		}
		for at := int64(0); at < x.Len; at += bs {
			piece := *x
			piece.Off, piece.Pos, piece.Len, piece.Size = x.Off+at, x.Pos+at, min(bs, x.Len-at), bs
			if !yield(piece) {
				return
			}
		}
	}
}

// headAfter is the number of the block that has the next head after x. Behind the last extent
// that is the block in the middle of which the file ends, or the end of the index.
func headAfter(x *Extent, size, bs int64) int64 {
	if next := x.End() / bs; x.End() < size || next > x.Off/bs {
		return next
	}
	return (size-1)/bs + 1
}

// FullSize is the length in bytes of the header and the full index of a file of size bytes.
func FullSize(size, bs int64) int64 {
	return HeaderSize + fullReserved + (size+bs-1)/bs*fullSize
}

// AppendFull appends to b what follows the header in the full index of a file of size bytes:
// 8 zero bytes, and for each block of the file
//
//	off size meaning
//	  0    2 type in bits 0 and 1, Partial in bit 15
//	  2    2 head: where in the block the extent begins
//	  4    4 head: block of the cluster
//	  4    2 other: distance back to the head, or, after a head if the file is Big, 0x800 + length of the cluster in blocks
//	  6    2 other: distance to the next head
//
// (struct z_erofs_lcluster_index). The error wraps ErrNoIndex.
func AppendFull(b []byte, xs []Extent, size, bs int64) ([]byte, error) {
	b = append(b, make([]byte, fullReserved)...)
	big := Big(xs, bs)
	err := eachEntry(xs, size, bs, func(e indexEntry) {
		b = e.appendFull(b, big)
	})
	return b, err
}

// appendFull appends e to b in the form of a full index.
func (e *indexEntry) appendFull(b []byte, big bool) []byte {
	var raw [fullSize]byte
	le := binary.LittleEndian
	flags := uint16(e.kind)
	if e.partial {
		flags |= partialBit
	}
	le.PutUint16(raw[0:], flags)
	le.PutUint16(raw[2:], e.off)
	if e.kind != nonhead {
		le.PutUint32(raw[4:], e.block)
	} else {
		le.PutUint16(raw[4:], e.distance(big))
		le.PutUint16(raw[6:], uint16(min(e.ahead, 0xffff)))
	}
	return append(b, raw[:]...)
}

// distance is what a nonhead has for the distance back.
func (e *indexEntry) distance(big bool) uint16 {
	if big && e.back == 1 {
		return blockCount | e.blocks
	}
	return uint16(min(e.back, maxDelta))
}

// Entries in a pack.
const (
	smallSlots = 2
	largeSlots = 16
)

// packing is how many entries of a compact index are in which packs: first small ones up to
// a multiple of 32 bytes in the image, then large ones, then small ones again.
type packing struct{ before, large, after int64 }

// packingOf is for the index of a file of size bytes whose header is at the offset at.
func packingOf(at, size, bs int64) (p packing) {
	n := (size + bs - 1) / bs
	p.before = (largePack - (at+HeaderSize)%largePack) / 4 % 8
	if p.before >= n {
		return packing{before: n}
	}
	p.large = (n - p.before) / largeSlots * largeSlots
	p.after = n - p.before - p.large
	return p
}

// CompactSize is the length in bytes of the header and the compact index of a file of size
// bytes. The length depends on the offset of the header in the image, and on no more of that
// than the remainder of 32.
func CompactSize(at, size, bs int64) int64 {
	p := packingOf(at, size, bs)
	return HeaderSize + (p.before+1)/2*smallPack + p.large/largeSlots*largePack + (p.after+1)/2*smallPack
}

// Compactable reports whether a compact index can list xs: blocks have at most 4096 bytes, and
// the clusters lie one after the other.
func Compactable(xs []Extent, bs int64) bool {
	if bs > 1<<minLowBits {
		return false
	}
	for i := range xs {
		if xs[i].Partial || i > 0 && xs[i].Pos != xs[i-1].Pos+xs[i-1].Size {
			return false
		}
	}
	return true
}

// AppendCompact appends to b what follows the header in the compact index of a file of size
// bytes: packs of entries, each pack followed by the base of its block addresses. The header
// is at the offset at of the image. xs have to be Compactable. The error wraps ErrNoIndex.
func AppendCompact(b []byte, at int64, xs []Extent, size, bs int64) ([]byte, error) {
	if !Compactable(xs, bs) {
		return b, fmt.Errorf("%w: they are not in a row", ErrNoIndex)
	}
	k := packer{b: b, left: packingOf(at, size, bs), big: Big(xs, bs)}
	err := eachEntry(xs, size, bs, k.add)
	if len(k.pack) > 0 {
		k.flush()
	}
	return k.b, err
}

// packer makes packs of entries.
type packer struct {
	b    []byte
	left packing
	big  bool
	pack []indexEntry
	end  uint32 // block after the cluster of the last head that was written
}

func (k *packer) add(e indexEntry) {
	k.pack = append(k.pack, e)
	if len(k.pack) == k.slots() {
		k.flush()
	}
}

// slots is how many entries the current pack holds.
func (k *packer) slots() int {
	if k.left.before == 0 && k.left.large > 0 {
		return largeSlots
	}
	return smallSlots
}

// flush writes the current pack. If it has no head, its base is as if the next head were there;
// nothing reads it.
func (k *packer) flush() {
	slots := k.slots()
	width, length := minLowBits+4, smallPack
	if slots == largeSlots {
		width, length = minLowBits+2, largePack
	}
	at := len(k.b)
	k.b = append(k.b, make([]byte, length)...)
	raw := k.b[at:]
	base, counted, found := uint32(0), uint32(0), false
	for i := range k.pack {
		e := &k.pack[i]
		if e.kind != nonhead {
			if !found {
				base, found = e.block-counted, true
			}
			k.end = e.block + uint32(e.blocks)
		} else if k.big && e.back == 1 {
			counted += uint32(e.blocks)
		}
		putBits(raw, i*width, uint32(k.low(e, i == slots-1))|uint32(e.kind)<<minLowBits)
	}
	if !found {
		base = k.end - counted
	}
	if !k.big {
		base--
	}
	binary.LittleEndian.PutUint32(raw[length-4:], base)
	k.take(int64(len(k.pack)))
	k.pack = k.pack[:0]
}

// low has the lower bits of e; last says that e is in the last slot of its pack.
func (k *packer) low(e *indexEntry, last bool) uint16 {
	switch {
	case e.kind != nonhead:
		return e.off
	case last && !(k.big && e.back == 1):
		return uint16(min(e.ahead, maxDelta))
	}
	return e.distance(k.big)
}

// take counts n entries as written.
func (k *packer) take(n int64) {
	switch p := &k.left; {
	case p.before > 0:
		p.before -= min(n, p.before)
	case p.large > 0:
		p.large -= n
	default:
		p.after -= n
	}
}

// putBits writes v, of at most 16 bits, from bit at of b on, the lowest first.
func putBits(b []byte, at int, v uint32) {
	v <<= at % 8
	for i := at / 8; v > 0; i, v = i+1, v>>8 {
		b[i] |= byte(v)
	}
}
