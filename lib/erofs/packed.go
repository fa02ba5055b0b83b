package erofs

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
)

// packedFiles are the compressed files of an image: where their extents are.
type packedFiles struct {
	bs      int64
	methods []z.Encoding
	files   []packedFile
	cuts    []z.Cut // of all files, one after the other

	known map[contentKey]packedFile // of one segment, so that equal files share extents

	zFeatures
	xs []z.Extent
}

// contentKey stands for the content of a file. What is stored in the same way decompresses to
// the same content.
type contentKey struct {
	sum    [sha256.Size]byte
	size   int64
	method int
}

// sumOf is the SHA-256 of out and cuts. A collision would give a file the
// content of another, so the hash has to be cryptographic.
func sumOf(out []byte, cuts []z.Cut) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(out)
	var b []byte
	for _, c := range cuts {
		stored := uint32(c.Stored()) << 1
		if c.Raw() {
			stored |= 1
		}
		b = binary.LittleEndian.AppendUint32(b, c.Len)
		b = binary.LittleEndian.AppendUint32(b, stored)
	}
	h.Write(b)
	return [sha256.Size]byte(h.Sum(nil))
}

func keyOf(method int, s *segment) contentKey {
	return contentKey{s.sum, s.size, method}
}

// find returns where a file with the content of s is, if there is one.
func (p *packedFiles) find(method int, s *segment) (packedFile, bool) {
	f, ok := p.known[keyOf(method, s)]
	return f, ok
}

// remember remembers f for files with the same content, if s is the whole of it.
func (p *packedFiles) remember(f packedFile, s *segment) {
	if s.whole() {
		p.known[keyOf(f.method, s)] = f
	}
}

// packedFile is a compressed file.
type packedFile struct {
	pos      int64 // of the first cluster, in bytes; the others follow it
	from, to int   // its cuts
	method   int
}

// add adds f, the data of it, a file of size bytes.
func (p *packedFiles) add(it *item, f packedFile) {
	it.tail = int64(len(p.files))
	p.files = append(p.files, f)
	p.used = true
	it.layout = disk.CompressedFull
	m := &p.methods[f.method]
	if !p.exact && p.compact() {
		it.layout = disk.CompressedCompact
	}
	p.config.Algorithms |= 1 << m.Algorithm
	xs := p.extents(f)
	p.big = p.big || z.Big(xs, p.bs)
	switch m.Algorithm {
	case z.LZ4:
		p.config.Distance = z.MaxDistance
		for _, x := range xs {
			if x.Algorithm == z.LZ4 {
				p.config.PClusterBlocks = max(p.config.PClusterBlocks, clusterBlocks(x.Size, p.bs, p.exact))
			}
		}
	case z.Deflate:
		p.config.WindowBits = z.MaxWindowBits
	case z.Zstd:
		p.config.WindowLog = max(p.config.WindowLog, m.WindowLog())
	}
}

// compact reports whether a compact index can be written for the block size.
func (p *packedFiles) compact() bool { return z.Compactable(nil, p.bs) }

// extents returns the extents of f, until the next call.
func (p *packedFiles) extents(f packedFile) []z.Extent {
	p.xs = p.methods[f.method].AppendExtents(p.xs[:0], p.cuts[f.from:f.to], f.pos)
	return p.xs
}

// rawCuts are the cuts of n bytes that are stored as they are, in a file of the given method.
func (p *packedFiles) rawCuts(method int, n int64) []z.Cut { return p.methods[method].RawCuts(n) }

// indexSize is about how many bytes the list of extents takes for a part of a file, n bytes
// that were cut into cuts.
func (p *packedFiles) indexSize(method int, n int64, cuts []z.Cut) int64 {
	m := &p.methods[method]
	switch {
	case p.exact:
		return z.RecordsOf(m.AppendExtents(nil, cuts, 0), p.bs).Bytes(0)
	case p.compact():
		return z.CompactSize(0, n, p.bs)
	}
	return z.FullSize(n, p.bs)
}

// fullSize is the length in bytes of the inode of it and everything that follows it. Inodes
// begin at multiples of 32 bytes, so the place of it does not matter.
func (p *packedFiles) fullSize(it *item) int64 {
	at := disk.RoundUp(it.bareSize(), z.HeaderAlign)
	f := p.files[it.tail]
	switch {
	case p.exact:
		return at + z.RecordsOf(p.extents(f), p.bs).Bytes(at)
	case it.layout == disk.CompressedCompact:
		return at + z.CompactSize(at, it.size(), p.bs)
	}
	return at + z.FullSize(it.size(), p.bs)
}

// blocks is how many blocks the data of it takes.
func (p *packedFiles) blocks(it *item) uint32 {
	n := int64(0)
	f := p.files[it.tail]
	for _, c := range p.cuts[f.from:f.to] {
		n += c.Stored()
	}
	return uint32(min(disk.Blocks(n, p.bs), math.MaxUint32))
}

// writeIndex implements compressedFiles.
func (p *packedFiles) writeIndex(it *item, off int64, put func(b []byte) error) error {
	b, err := p.appendIndex(nil, it, off)
	if err == nil {
		err = put(b)
	}
	return err
}

// appendIndex appends to b what follows the inode of it and its xattrs, which end at off: the
// header, where it is aligned, and the list of extents.
func (p *packedFiles) appendIndex(b []byte, it *item, off int64) ([]byte, error) {
	f := p.files[it.tail]
	xs := p.extents(f)
	at := disk.RoundUp(off, z.HeaderAlign)
	b = append(b, make([]byte, at-off)...)
	h := z.Header{Index: z.Full, Head1: p.methods[f.method].Algorithm}
	switch {
	case p.exact:
		r := z.RecordsOf(xs, p.bs)
		h = z.Header{Index: z.Encoded, Advise: z.AdviseRecord(log2(r.Size / 4)), ClusterBits: r.SizeBits, Extents: r.Count}
		return r.AppendEncoded(h.Append(b), at, xs)
	case it.layout == disk.CompressedCompact:
		h.Index, h.Advise = z.Compact, z.AdvisePacks
		if z.Big(xs, p.bs) {
			h.Advise |= z.AdviseBig1 | z.AdviseBig2
		}
		return z.AppendCompact(h.Append(b), at, xs, it.size(), p.bs)
	}
	if z.Big(xs, p.bs) {
		h.Advise |= z.AdviseBig1
	}
	return z.AppendFull(h.Append(b), xs, it.size(), p.bs)
}
