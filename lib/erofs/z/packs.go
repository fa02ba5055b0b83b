package z

import (
	"encoding/binary"
	"math/bits"
)

// The index Compact follows the header at once. Its entries are in packs, each of which ends
// with the 4 bytes of an address. A pack of 8 bytes has 2 entries of 16 bits, a pack of 32
// bytes 16 entries of 14 bits, from the least significant bit on. The first entries, up to a
// multiple of 32 bytes in the image, are in packs of 8 bytes; then come as many packs of 32
// bytes as can be full; the rest is in packs of 8 bytes again.
//
//	bits   field  meaning
//	0-11   low    as at of a head in the index Full, or as back; but in the last entry of a
//	              pack, unless it counts blocks, as ahead. It has more bits if logical
//	              clusters have more than 4096 bytes.
//	above  kind
const (
	smallPack    = 8
	largePack    = 32
	packAddress  = 4
	minLowBits   = 12
	maxLowBits   = 14 // in small packs
	largeLowBits = 12 // in large packs
)

// pack is a pack with an entry.
type pack struct {
	pos   int64 // offset in the image
	i     int   // number of the entry in the pack
	large bool
}

func (p pack) size() int64 {
	if p.large {
		return largePack
	}
	return smallPack
}

// count is how many entries the pack has.
func (p pack) count() int {
	if p.large {
		return 16
	}
	return 2
}

// pack finds the pack of the entry i.
func (c *cursor) pack(i int64) pack {
	total := (c.size-1)/c.p.BlockSize + 1 // of blocks, as Linux counts
	first := (largePack - c.base%largePack) / 4 & 7
	var large int64
	if c.h.Advise&AdvisePacks != 0 && first < total {
		large = (total - first) &^ 15
	}
	pos := c.base
	if i >= first && i-first < large {
		i -= first
		return pack{pos + first*4 + i/16*largePack, int(i % 16), true}
	}
	if i >= first+large {
		pos += first*4 + large*2
		i -= first + large
	}
	pos += i * 4
	return pack{pos &^ (smallPack - 1), int(pos % smallPack / 4), false}
}

// checkPacks checks that logical clusters are not too large for the packs.
func (c *cursor) checkPacks() error {
	low := c.lowBits()
	if low > maxLowBits {
		return corrupt("compact index of clusters of %d bytes", c.cluster)
	}
	if c.h.Advise&AdvisePacks != 0 && low > largeLowBits {
		return unsupported("compact index of clusters of %d bytes in packs of %d", c.cluster, largePack)
	}
	return nil
}

// lowBits is how many bits of an entry are its low field.
func (c *cursor) lowBits() int { return max(bits.Len64(uint64(c.cluster))-1, minLowBits) }

// packBits are the bytes of a pack, and how to read them.
type packBits struct {
	b       []byte
	lowBits int
	width   int // of an entry, bits
}

// at returns the fields of the entry i of the pack.
func (p *packBits) at(i int) (kind uint8, low int) {
	pos := i * p.width
	v := binary.LittleEndian.Uint32(p.b[pos/8:]) >> (pos & 7)
	return uint8(v >> p.lowBits & kindMask), int(v & (1<<p.lowBits - 1))
}

// packed decodes the entry i of a compact index.
func (c *cursor) packed(i int64) (entry, error) {
	at := c.pack(i)
	b, err := c.bytes(at.pos, at.size())
	if err != nil {
		return entry{}, err
	}
	p := packBits{b, c.lowBits(), (len(b) - packAddress) * 8 / at.count()}
	kind, low := p.at(at.i)
	e := entry{kind: kind}
	if kind != nonhead {
		if e.at = int64(low); e.at >= c.cluster {
			return e, corrupt("extent of entry %d begins at byte %d of %d", i, e.at, c.cluster)
		}
		e.block, err = c.packedBlock(&p, at.i)
		return e, err
	}
	last := at.i+1 == at.count()
	switch {
	case low&blockCount != 0:
		e.counts, e.blocks, e.back = true, int64(low&^blockCount), 1
		if c.h.Advise&AdviseBig1 == 0 {
			return e, corrupt("entry %d counts blocks in a file without big clusters", i)
		}
	case last:
		e.ahead = int64(low)
		e.back = p.backOfLast(at.i)
	default:
		e.back = int64(low)
	}
	return e, nil
}

// backOfLast is the distance of the last entry of a pack to its head, which is that of the
// entry before it and 1.
func (p *packBits) backOfLast(i int) int64 {
	kind, low := p.at(i - 1)
	switch {
	case kind != nonhead:
		return 1
	case low&blockCount != 0:
		return 2
	}
	return int64(low) + 1
}

// packedBlock is the block of the head that is the entry i of a pack. The clusters of a pack
// are stored one after the other, and the address of the pack is where the first of them
// begins, less the blocks of one whose head is in the pack before; without big clusters, less
// one block.
func (c *cursor) packedBlock(p *packBits, i int) (int64, error) {
	blocks := uint32(0)
	big := c.h.Advise&AdviseBig1 != 0
	if !big {
		blocks = 1
	}
	for i > 0 {
		i--
		kind, low := p.at(i)
		switch {
		case !big:
			if kind == nonhead {
				i -= low
			}
			if i >= 0 {
				blocks++
			}
		case kind != nonhead:
			blocks++
		case low&blockCount != 0:
			i--
			blocks += uint32(low &^ blockCount)
		case low <= 1:
			return 0, corrupt("compact index does not count the blocks of a cluster")
		default:
			i -= low - 2
		}
	}
	return int64(binary.LittleEndian.Uint32(p.b[len(p.b)-packAddress:]) + blocks), nil
}
