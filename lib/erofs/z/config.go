package z

import "encoding/binary"

// Limits of a Config.
const (
	MaxDistance   = 0xffff // of an LZ4 match, bytes
	MinWindowLog  = 10     // log2 of a zstd window in bytes
	MaxWindowLog  = 20
	MaxWindowBits = 15 // log2 of a deflate window in bytes
	recordAlign   = 4  // where each record of a Config begins
	algorithmMask = 1<<LZ4 | 1<<LZMA | 1<<Deflate | 1<<Zstd
)

// MaxPClusterBlocks is the largest PClusterBlocks of a Config for blocks of bs bytes. Linux
// looks at it before it knows the block size, as if blocks were its pages: it refuses more than
// 256 blocks, even if they are short and come to less than MaxEncoded.
func MaxPClusterBlocks(bs int64) int64 { return MaxEncoded / max(bs, pageSize) }

const pageSize = 4096 // of Linux, at least

// MaxConfigSize is the length in bytes of the longest Config that Append makes.
const MaxConfigSize = 2*16 + 2*8

// Config says how the files of an image are compressed, and how much memory decoders need. The
// superblock has the set of algorithms; a record for each of them follows it, in the order of
// their numbers. A record begins at a multiple of 4 bytes, with its length (2 bytes).
//
//	record  off size field           meaning                          range
//	lz4       0    2 Distance        longest distance of a match
//	          2    2 PClusterBlocks  blocks of the largest cluster    up to MaxPClusterBlocks; 0 is 1
//	          4   10 -               0
//	lzma      0    4 DictSize        bytes                            4 KiB to 8 MiB
//	          4    2 -               0
//	          6    8 -               0
//	deflate   0    1 WindowBits      log2 of the window in bytes      up to 15
//	          1    5 -               0
//	zstd      0    1 -               0
//	          1    1 WindowLog       log2 of the window in bytes - 10 0 to 10
//	          2    4 -               0
type Config struct {
	Algorithms     uint16 // 1<<algorithm for each that files have
	Distance       uint16
	PClusterBlocks uint16
	DictSize       uint32
	WindowBits     uint8
	WindowLog      uint8
}

// recordSizes are the lengths of the records in bytes, without what says the length.
var recordSizes = [...]int{LZ4: 14, LZMA: 14, Deflate: 6, Zstd: 6}

// Has reports whether files may be compressed by a.
func (c *Config) Has(a Algorithm) bool { return a <= Zstd && c.Algorithms>>a&1 != 0 }

// Append appends the records of c to b, which ends at a multiple of 4 bytes of the image. It
// ends at one itself.
func (c *Config) Append(b []byte) []byte {
	le := binary.LittleEndian
	for a, size := range recordSizes {
		if !c.Has(Algorithm(a)) {
			continue
		}
		at := len(b) + 2
		b = le.AppendUint16(b, uint16(size))
		b = append(b, make([]byte, size)...)
		switch p := b[at:]; Algorithm(a) {
		case LZ4:
			le.PutUint16(p, c.Distance)
			le.PutUint16(p[2:], c.PClusterBlocks)
		case LZMA:
			le.PutUint32(p, c.DictSize)
		case Deflate:
			p[0] = c.WindowBits
		case Zstd:
			p[1] = c.WindowLog - MinWindowLog
		}
	}
	return b
}

// DecodeConfig decodes the records of these algorithms from b, which begins at a multiple of 4
// bytes of the image, and may hold more. It refuses what the kernel does at mount
// (z_erofs_parse_cfgs). Blocks have bs bytes.
func DecodeConfig(b []byte, algorithms uint16, bs int64) (Config, error) {
	c := Config{Algorithms: algorithms}
	if algorithms&^algorithmMask != 0 {
		return c, unsupported("algorithms %#x", algorithms)
	}
	at := 0
	for a := LZ4; a <= Zstd; a++ {
		if !c.Has(a) {
			continue
		}
		if at+2 > len(b) {
			return c, corrupt("record of %s is missing", a)
		}
		size := int(binary.LittleEndian.Uint16(b[at:]))
		at += 2
		if size < recordSizes[a] || size > len(b)-at {
			return c, corrupt("record of %s has %d bytes", a, size)
		}
		if err := c.decode(a, b[at:at+size], bs); err != nil {
			return c, err
		}
		at = (at + size + recordAlign - 1) &^ (recordAlign - 1)
	}
	return c, nil
}

// decode decodes the record p of a.
func (c *Config) decode(a Algorithm, p []byte, bs int64) error {
	le := binary.LittleEndian
	switch a {
	case LZ4:
		c.Distance, c.PClusterBlocks = le.Uint16(p), max(le.Uint16(p[2:]), 1)
		if int64(c.PClusterBlocks) > MaxPClusterBlocks(bs) {
			return corrupt("lz4 clusters of %d blocks", c.PClusterBlocks)
		}
	case LZMA:
		c.DictSize = le.Uint32(p)
		if format := le.Uint16(p[4:]); format != 0 || c.DictSize < 4096 || c.DictSize > 8<<20 {
			return corrupt("lzma of format %d with %d bytes", format, c.DictSize)
		}
	case Deflate:
		if c.WindowBits = p[0]; c.WindowBits > MaxWindowBits {
			return corrupt("deflate window of 2^%d bytes", c.WindowBits)
		}
	case Zstd:
		if p[0] != 0 || p[1] > MaxWindowLog-MinWindowLog {
			return corrupt("zstd of format %d with a window of 2^(10+%d) bytes", p[0], p[1])
		}
		c.WindowLog = MinWindowLog + p[1]
	}
	return nil
}
