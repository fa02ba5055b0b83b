package gunzip

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// Reader decompresses a gzip stream. It reads its input in large pieces, ahead of
// what it returns, and up to the end.
type Reader struct {
	f     inflater
	ready int // start of the bytes in f.out that were not returned yet
	crc   uint32
	size  uint32 // bytes of the current member that crc covers
	inner bool   // inside a member: its trailer was not read yet
	err   error
	ahead *ahead // nil while one goroutine does all the work
}

// NewReader decompresses r. The first Read checks whether r holds a gzip stream.
//
// Errors about the stream wrap [ErrCorrupt] and give the offset in the input. Input
// that ends inside a member is io.ErrUnexpectedEOF; io.EOF comes only after everything
// was verified.
func NewReader(r io.Reader) *Reader {
	return &Reader{f: inflater{r: r, out: new(output)}}
}

// Read returns decompressed bytes.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for z.ready == z.f.w {
		if z.err != nil {
			return 0, z.err
		}
		z.more()
	}
	n := copy(p, z.f.out[z.ready:z.f.w])
	z.ready += n
	return n, nil
}

// WriteTo writes the rest of the stream to w, without copying it first.
func (z *Reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if z.ready < z.f.w {
			n, err := w.Write(z.f.out[z.ready:z.f.w])
			z.ready += n
			total += int64(n)
			if err != nil {
				return total, err
			}
		}
		if z.err == io.EOF {
			return total, nil
		}
		if z.err != nil {
			return total, z.err
		}
		z.more()
	}
}

// Close ends the goroutines that Ahead has started, and waits for them. It does not
// close the underlying reader. Reading after Close is an error; closing twice is
// harmless.
func (z *Reader) Close() error {
	if z.ahead != nil {
		z.ahead.close()
	}
	z.ready = z.f.w
	z.err = os.ErrClosed
	return nil
}

// ChunkSize is the size of the buffer that ReadChunk needs, in bytes.
func (z *Reader) ChunkSize() int { return len(output{}) }

// ReadChunk decompresses into mem and returns the part of mem that holds the next
// bytes: at least one, or an error after the last. The caller leaves them unchanged
// until the following call has returned, because later data may repeat them.
func (z *Reader) ReadChunk(mem []byte) ([]byte, error) {
	z.f.switchTo((*output)(mem))
	z.ready = z.f.w
	z.decompress()
	data := z.f.out[z.ready:z.f.w]
	z.ready = z.f.w
	if len(data) > 0 {
		return data, nil
	}
	return nil, z.err
}

// more decompresses a chunk. The previous one has been returned.
func (z *Reader) more() {
	z.f.room(z.f.out)
	z.ready = z.f.w
	z.decompress()
}

// decompress runs until the buffer is full, or the input ends or fails.
func (z *Reader) decompress() {
	for z.err == nil && z.f.w < outLimit {
		if !z.inner {
			if z.err = z.member(); z.err != nil {
				return
			}
		}
		from := z.f.w
		if z.ahead != nil {
			z.err = z.ahead.run()
		} else {
			z.err = z.f.run()
		}
		z.crc = crc32.Update(z.crc, crc32.IEEETable, z.f.out[from:z.f.w])
		z.size += uint32(z.f.w - from)
		if z.err == nil && z.f.state == atEnd {
			z.err = z.trailer()
		}
	}
}

// Bits of the flags in a member's header.
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
)

// member reads the header of a member (RFC 1952, 2.3). It returns io.EOF where the
// input ends, or where only zeros follow.
func (z *Reader) member() error {
	f := &z.f
	if err := f.need(8); err == io.ErrUnexpectedEOF && f.off+int64(f.end) > 0 {
		return io.EOF
	} else if err != nil {
		return err
	}
	if f.bit() > 0 && f.bits&0xff == 0 {
		return z.zeros()
	}
	if err := f.need(32); err != nil {
		return err
	}
	if f.bits&0xffffff != 0x088b1f {
		if f.offset() == 0 {
			return f.corrupt("no gzip header")
		}
		return f.corrupt("garbage behind the end")
	}
	var crc uint32
	h := header{f: f, crc: &crc}
	b := h.bytes(10)
	flags := b[3]
	if flags&flagExtra != 0 {
		n := h.bytes(2)
		h.skip(int(binary.LittleEndian.Uint16(n[:])))
	}
	if flags&flagName != 0 {
		h.text()
	}
	if flags&flagComment != 0 {
		h.text()
	}
	if flags&flagHeaderCRC != 0 {
		want := uint16(crc)
		b := h.bytes(2)
		if h.err == nil && binary.LittleEndian.Uint16(b[:]) != want {
			return f.corrupt("checksum of the header does not match")
		}
	}
	if h.err != nil {
		return h.err
	}
	z.crc, z.size, z.inner = 0, 0, true
	f.begin()
	return nil
}

// header reads the bytes of a header and updates their CRC.
type header struct {
	f   *inflater
	crc *uint32
	err error
}

func (h *header) bytes(n int) (b [10]byte) {
	for i := range n {
		if h.err == nil {
			h.err = h.f.need(8)
		}
		if h.err != nil {
			return b
		}
		b[i] = byte(h.f.take(8))
	}
	*h.crc = crc32.Update(*h.crc, crc32.IEEETable, b[:n])
	return b
}

func (h *header) skip(n int) {
	for ; n > 0 && h.err == nil; n-- {
		h.bytes(1)
	}
}

// text skips a NUL-terminated string.
func (h *header) text() {
	for h.err == nil && h.bytes(1)[0] != 0 {
	}
}

// trailer compares the member with the checksum and length in its trailer.
func (z *Reader) trailer() error {
	h := header{f: &z.f, crc: new(uint32)}
	b := h.bytes(8)
	if h.err != nil {
		return h.err
	}
	crc, size := binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:])
	if crc != z.crc || size != z.size {
		return z.f.corrupt(fmt.Sprintf("CRC-32 %08x of %d bytes, the trailer says %08x of %d", z.crc, z.size, crc, size))
	}
	z.inner = false
	return nil
}

// zeros reads the rest of the input, which must be all zeros.
func (z *Reader) zeros() error {
	for {
		if err := z.f.need(8); err == io.ErrUnexpectedEOF {
			return io.EOF
		} else if err != nil {
			return err
		}
		if z.f.take(8) != 0 {
			return z.f.corrupt("garbage behind the end")
		}
	}
}
