package z

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/lz4"
)

// Decoder decodes clusters of an image. It keeps the memory of its decoders, up to some MiB.
// Only one goroutine may use it at a time.
type Decoder struct {
	p       *Params
	input   bytes.Reader
	inflate io.ReadCloser
	frames  *zstd.Decoder // decodes whole frames
	stream  *zstd.Decoder // decodes the beginnings of frames; it stays busy with the last one
}

// NewDecoder returns a decoder for the image of p.
func NewDecoder(p *Params) *Decoder { return &Decoder{p: p} }

// Decode decodes the extent x, which File.At or File.All has returned, into the x.Len bytes of
// dst. src is the x.Size bytes of its cluster; x must not be a hole or a fragment.
//
// A stream has to decode to exactly these bytes, or, if x is Partial, to more than these. It
// ends where it says: what follows it is ignored, except with LZ4, which cannot say it. The
// kernel does not always look at the end of a stream, fsck.erofs does.
func (d *Decoder) Decode(dst []byte, x *Extent, src []byte) error {
	if x.Algorithm == Raw {
		return d.copy(dst, x, src)
	}
	if x.Algorithm != LZ4 || d.p.Padded {
		var err error
		if src, err = d.trim(src, x.Pos); err != nil {
			return err
		}
	}
	switch x.Algorithm {
	case LZ4:
		return decodeLZ4(dst, src, x.Partial || !d.p.Padded)
	case Deflate:
		return d.deflate(dst, src, x.Partial)
	case Zstd:
		return d.zstandard(dst, src, x.Partial)
	}
	return unsupported("data compressed by %s", x.Algorithm)
}

// copy is Decode of what is not compressed.
func (d *Decoder) copy(dst []byte, x *Extent, src []byte) error {
	if len(dst) > len(src) {
		return corrupt("%d bytes in a cluster of %d", len(dst), len(src))
	}
	first := 0
	if x.Rotated {
		first = min(int(d.p.BlockSize-x.Off%d.p.BlockSize), len(src))
	}
	n := copy(dst, src[len(src)-first:])
	copy(dst[n:], src)
	return nil
}

// trim returns the cluster src, stored at pos, without the zeros before its stream. They end
// in the block in which the cluster begins (z_erofs_fixup_insize).
func (d *Decoder) trim(src []byte, pos int64) ([]byte, error) {
	most := min(int64(len(src)), d.p.BlockSize-pos%d.p.BlockSize)
	for i, b := range src[:most] {
		if b != 0 {
			return src[i:], nil
		}
	}
	return nil, corrupt("no stream in the first block of a cluster")
}

// deflate decodes a raw deflate stream.
func (d *Decoder) deflate(dst, src []byte, partial bool) error {
	d.input.Reset(src)
	if d.inflate == nil {
		d.inflate = flate.NewReader(&d.input)
	} else if err := d.inflate.(flate.Resetter).Reset(&d.input, nil); err != nil {
		return err
	}
	return readAll(d.inflate, dst, partial, Deflate)
}

// readAll fills dst from r, which must end there unless partial is set.
func readAll(r io.Reader, dst []byte, partial bool, a Algorithm) error {
	n, err := io.ReadFull(r, dst)
	if err != nil {
		return corrupt("%s stream fails after %d bytes of %d: %v", a, n, len(dst), err)
	}
	if partial {
		return nil
	}
	var more [1]byte
	switch n, err := io.ReadFull(r, more[:]); {
	case n > 0:
		return corrupt("%s stream has more than the %d bytes of its extent", a, len(dst))
	case err != io.EOF:
		return corrupt("%s stream fails after its %d bytes: %v", a, len(dst), err)
	}
	return nil
}

// zstandard decodes a frame of zstd.
func (d *Decoder) zstandard(dst, src []byte, partial bool) error {
	n, err := frameSize(src)
	if err != nil && !partial {
		return err
	}
	if partial {
		if n > 0 {
			src = src[:n]
		}
		return d.zstdPrefix(dst, src)
	}
	if d.frames == nil {
		if d.frames, err = newZstd(&d.p.Config); err != nil {
			return err
		}
	}
	out, err := d.frames.DecodeAll(src[:n], dst[:0:len(dst)])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || len(out) > len(dst):
		return corrupt("zstd frame has more than the %d bytes of its extent", len(dst))
	case err != nil:
		return corrupt("zstd frame fails: %v", err)
	case len(out) < len(dst):
		return corrupt("zstd frame has %d bytes of %d", len(out), len(dst))
	}
	if &out[0] != &dst[0] {
		copy(dst, out)
	}
	return nil
}

// zstdPrefix decodes the beginning of a frame of zstd.
func (d *Decoder) zstdPrefix(dst, src []byte) (err error) {
	if d.stream == nil {
		if d.stream, err = newZstd(&d.p.Config); err != nil {
			return err
		}
	}
	d.input.Reset(src)
	if err := d.stream.Reset(&d.input); err != nil {
		return corrupt("zstd frame: %v", err)
	}
	return readAll(d.stream, dst, true, Zstd)
}

func newZstd(c *Config) (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(1<<c.WindowLog),
		zstd.WithDecoderMaxMemory(MaxDecoded),
		zstd.WithDecodeAllCapLimit(true))
}

// Facts of RFC 8878, section 3.1.1.2.
const (
	blockHeaderSize = 3
	blockRepeated   = 1 // its content is a single byte, whatever its size says
	checksumSize    = 4
)

// frameSize is the length of the frame with which src begins, in bytes. It is 0 with an error
// if src ends before the frame, or begins with something else.
func frameSize(src []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return 0, corrupt("zstd frame: %v", err)
	}
	if h.Skippable {
		return 0, corrupt("zstd frame without content")
	}
	n := h.HeaderSize
	for last := false; !last; {
		if len(src)-n < blockHeaderSize {
			return 0, corrupt("zstd frame is cut short")
		}
		b := uint32(src[n]) | uint32(src[n+1])<<8 | uint32(src[n+2])<<16
		last = b&1 != 0
		size := int(b >> 3)
		if b>>1&3 == blockRepeated {
			size = 1
		}
		if n += blockHeaderSize; size > len(src)-n {
			return 0, corrupt("zstd frame is cut short")
		}
		n += size
	}
	if h.HasCheckSum {
		n += checksumSize
	}
	if n > len(src) {
		return 0, corrupt("zstd frame is cut short")
	}
	return n, nil
}

// decodeLZ4 decodes a block of LZ4.
func decodeLZ4(dst, src []byte, partial bool) error {
	decode := lz4.Decode
	if partial {
		decode = lz4.DecodePrefix
	}
	if err := decode(dst, src); err != nil {
		return corrupt("lz4 block of %d bytes to %d: %v", len(src), len(dst), err)
	}
	return nil
}
