package z

import "encoding/binary"

// HeaderSize is the length of a Header in bytes. It begins at the next multiple of HeaderAlign
// after the inode and its xattrs.
const (
	HeaderSize  = 8
	HeaderAlign = 8
)

// Index is the form of the list of a file's extents.
type Index uint8

// The forms. Full and Encoded are the layout 1 of an inode, Compact is the layout 3.
const (
	Full    Index = iota // 8 bytes for each logical cluster
	Compact              // 2 or 4 bytes for each logical cluster
	Encoded              // a record for each extent; Linux 6.15
)

// Advise are the flags of a Header.
type Advise uint16

// The flags. With Encoded extents, bits 1 and 2 are the size of a record; see RecordSize.
const (
	AdvisePacks      Advise = 0x01 // Compact: there are packs of 2 bytes an entry
	AdviseEncoded    Advise = 0x01 // in layout 1: Encoded
	AdviseBig1       Advise = 0x02 // clusters of HEAD1 may have several blocks
	AdviseBig2       Advise = 0x04 // the same of HEAD2 and PLAIN
	AdviseTail       Advise = 0x08 // the last extent is stored behind the index
	AdviseInterlaced Advise = 0x10 // raw clusters are rotated, see Extent.Rotated
	AdviseFragment   Advise = 0x20 // the last extent is a part of the packed inode

	recordShift = 1
	recordMask  = 3
)

// RecordSize is the length in bytes of a record of encoded extents: 4, 8, 16 or 32.
func (a Advise) RecordSize() int64 { return 4 << (a >> recordShift & recordMask) }

// AdviseRecord is AdviseEncoded, with records of 4 << code bytes.
func AdviseRecord(code int) Advise { return AdviseEncoded | Advise(code)<<recordShift }

// Header is struct z_erofs_map_header, which precedes the index of a compressed file.
//
//	off size field       meaning                                        range
//	  0    4 Fragment    AdviseFragment: offset in the packed inode,
//	                     the low 32 bits
//	  0    2 -           AdviseTail: 0
//	  2    2 Tail        AdviseTail: length of the last stream, bytes
//	  0    4 Extents     Encoded with records of 16 or 32 bytes: number of
//	                     extents, the low 32 bits
//	  4    2 Advise      flags
//	  6    1 Head1       its low half: algorithm of HEAD1                 0 to 3
//	         Head2       its high half: algorithm of HEAD2; 0 if unused   0 to 3
//	  7    1 ClusterBits its low half: log2 of the blocks of a logical
//	                     cluster; with records of 4 or 8 bytes of an
//	                     extent
//	  6    2 -           as Extents: bits 32 to 47 of Extents
//
// A file that is a part of the packed inode as a whole has no other field than that offset:
//
//	0    8 Fragment    offset, and bit 63 set
type Header struct {
	Index       Index
	Whole       bool // the whole file is a part of the packed inode
	Advise      Advise
	Head1       Algorithm
	Head2       Algorithm
	ClusterBits uint8
	Tail        uint16
	Fragment    int64
	Extents     int64
}

const (
	clusterBitsMask = 0x0f
	wholeBit        = 1 << 63
)

// counted reports whether the header counts the extents.
func (h *Header) counted() bool { return h.Index == Encoded && h.Advise.RecordSize() > 8 }

// Append appends h to b. Of the fields that share bytes it stores the one that Index and Advise
// demand, and of the algorithms those that Index has.
func (h *Header) Append(b []byte) []byte {
	le := binary.LittleEndian
	switch {
	case h.Whole:
		return le.AppendUint64(b, uint64(h.Fragment)|wholeBit)
	case h.counted():
		b = le.AppendUint32(b, uint32(h.Extents))
		b = le.AppendUint16(b, uint16(h.Advise))
		return le.AppendUint16(b, uint16(h.Extents>>32))
	case h.Advise&AdviseFragment != 0 && h.Index != Encoded:
		b = le.AppendUint32(b, uint32(h.Fragment))
	default:
		b = le.AppendUint32(b, uint32(h.Tail)<<16)
	}
	b = le.AppendUint16(b, uint16(h.Advise))
	return append(b, byte(h.Head1)|byte(h.Head2)<<4, h.ClusterBits)
}

// DecodeHeader decodes the first HeaderSize bytes of b, the header of an inode in the layout 3
// (compact) or 1. It refuses algorithms that the format does not have, and combinations that
// the kernel refuses in z_erofs_fill_inode_lazy; big says that the image has big clusters
// among its features.
func DecodeHeader(b []byte, compact, big bool) (Header, error) {
	le := binary.LittleEndian
	h := Header{Index: Full}
	if compact {
		h.Index = Compact
	}
	if v := le.Uint64(b); v&wholeBit != 0 {
		h.Whole, h.Fragment = true, int64(v&^wholeBit)
		return h, nil
	}
	h.Advise = Advise(le.Uint16(b[4:]))
	if !compact && h.Advise&AdviseEncoded != 0 {
		h.Index = Encoded
	}
	if h.counted() {
		h.Extents = int64(le.Uint32(b)) | int64(le.Uint16(b[6:]))<<32
		return h, nil
	}
	h.ClusterBits = b[7] & clusterBitsMask
	if h.Index == Encoded {
		return h, nil
	}
	h.Head1, h.Head2 = Algorithm(b[6]&0x0f), Algorithm(b[6]>>4)
	if h.Advise&AdviseFragment != 0 {
		h.Fragment = int64(le.Uint32(b))
	} else if h.Advise&AdviseTail != 0 {
		h.Tail = le.Uint16(b[2:])
	}
	return h, h.check(big)
}

func (h *Header) check(big bool) error {
	big1, big2 := h.Advise&AdviseBig1 != 0, h.Advise&AdviseBig2 != 0
	switch {
	case h.Head1 > Zstd || h.Head2 > Zstd:
		return unsupported("algorithms %d and %d", h.Head1, h.Head2)
	case (big1 || big2) && !big:
		return corrupt("big clusters without the feature of the image")
	case h.Index == Compact && big1 != big2:
		return corrupt("big clusters in only one of the heads")
	}
	return nil
}
