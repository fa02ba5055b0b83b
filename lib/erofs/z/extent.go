// Package z has the compressed files of EROFS: their extents, the headers and indexes that
// list these, and the codecs of what is stored. It knows bytes and numbers alone, neither
// images nor trees: the reader gives it the bytes of an index and gets extents, the writer
// gives it extents and gets the bytes.
//
// The authority is fs/erofs of Linux (erofs_fs.h, zmap.c, decompressor*.c); what the kernel
// refuses is an error here.
package z

import "fmt"

// Algorithm is a way of compression, by its number in the format.
type Algorithm uint8

// The algorithms of the format, and Raw for what is stored as it is.
const (
	LZ4     Algorithm = 0
	LZMA    Algorithm = 1
	Deflate Algorithm = 2
	Zstd    Algorithm = 3
	Raw     Algorithm = 0xff
)

// Limits of a physical cluster in bytes.
const (
	MaxEncoded = 1 << 20  // stored
	MaxDecoded = 12 << 20 // of the file
)

// Extent is a piece of a file, and where its bytes are stored: a physical cluster.
type Extent struct {
	Off, Len int64 // in the file, bytes
	Pos      int64 // where the cluster begins, bytes, in the addresses that run through the image and all devices
	Size     int64 // of the cluster, bytes: whole blocks, or exactly what is stored (Exact); 0: a hole
	Algorithm

	Exact   bool // Size is exact: no zeros before what is stored
	Partial bool // the cluster may hold more than Len bytes; these are the first
	Rotated bool // Raw: byte k of the file is at byte k mod block size of the cluster (interlaced)

	// Fragment says that the bytes are not in a cluster of their own: they begin at Pos in the
	// content of the packed inode. Size and Algorithm say nothing then.
	Fragment bool
}

// End is the offset of the first byte of the file after x.
func (x *Extent) End() int64 { return x.Off + x.Len }

// String says where x is, for messages.
func (x Extent) String() string {
	where := fmt.Sprintf("%d bytes at %d, %s", x.Size, x.Pos, x.Algorithm)
	if x.Fragment {
		where = fmt.Sprintf("byte %d of the packed inode", x.Pos)
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{x.Exact, "exact"}, {x.Partial, "partial"}, {x.Rotated, "rotated"}} {
		if flag.set {
			where += ", " + flag.name
		}
	}
	return fmt.Sprintf("[%d, %d): %s", x.Off, x.End(), where)
}

// String is the name of a, as users know it.
func (a Algorithm) String() string {
	switch a {
	case LZ4:
		return "lz4"
	case LZMA:
		return "lzma"
	case Deflate:
		return "deflate"
	case Zstd:
		return "zstd"
	case Raw:
		return "raw"
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}
