package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
)

// Stream reads a stream-optimized VMDK, written by this package or another tool.
type Stream struct {
	Descriptor *Descriptor

	bounded
	header *header // its Dir is the one that is valid
	table  []byte  // the last one that was read
	number int64   // of table; -1: none was read
	packed []byte
	z      io.ReadCloser
}

// OpenStream reads and checks the header, footer and descriptor of the stream in the first
// size bytes of r.
func OpenStream(r io.ReaderAt, size int64) (*Stream, error) {
	s := &Stream{bounded: bounded{r, size}, number: -1, table: make([]byte, tableSize)}
	head, err := s.sector(0)
	if err != nil {
		return nil, err
	}
	if s.header, err = decodeHeader(head); err != nil {
		return nil, err
	}
	if s.header.Dir == dirAtEnd {
		if err := s.footer(); err != nil {
			return nil, err
		}
	}
	if err := s.inside("directory", s.header.Dir, uint64(s.header.tables())*4); err != nil {
		return nil, err
	}
	if err := s.inside("first grain", s.header.Overhead, 0); err != nil {
		return nil, err
	}
	return s, s.text()
}

// Size is the size of the disk in bytes.
func (s *Stream) Size() int64 { return int64(s.header.Capacity) * SectorSize }

// footer reads the place of the directory from the end of the file.
func (s *Stream) footer() error {
	off := s.size - 3*SectorSize
	if off < SectorSize || s.size%SectorSize != 0 {
		return fmt.Errorf("%w: cut short: a file of %d bytes has no footer", ErrCorrupt, s.size)
	}
	b := make([]byte, 3*SectorSize)
	if err := s.read(b, off); err != nil {
		return err
	}
	mark := decodeMarker(b)
	if mark != (marker{Value: 1, Type: markFooter}) || !isZero(b[2*SectorSize:]) {
		return fmt.Errorf("%w: cut short: no footer at byte %d", ErrCorrupt, off)
	}
	foot, err := decodeHeader(b[SectorSize : 2*SectorSize])
	if err != nil {
		return fmt.Errorf("footer at byte %d: %w", off+SectorSize, err)
	}
	head := *s.header
	head.Dir = foot.Dir
	if *foot != head || foot.Dir == dirAtEnd {
		return fmt.Errorf("%w: the footer does not match the header", ErrCorrupt)
	}
	s.header = foot
	return nil
}

func (s *Stream) text() error {
	n := s.header.TextSize * SectorSize
	if err := s.inside("descriptor", s.header.Text, n); err != nil {
		return err
	}
	b := make([]byte, n)
	if err := s.read(b, int64(s.header.Text)*SectorSize); err != nil {
		return err
	}
	text, rest, _ := bytes.Cut(b, []byte{0})
	if !isZero(rest) {
		return fmt.Errorf("%w: the descriptor is not followed by zeros", ErrCorrupt)
	}
	d, err := ParseDescriptor(text)
	if err != nil {
		return fmt.Errorf("descriptor: %w", err)
	}
	if uint64(d.Sectors()) != s.header.Capacity || d.CreateType != createStream {
		return fmt.Errorf("%w: the descriptor has %d sectors in %s, the header %d in %s", ErrCorrupt,
			d.Sectors(), d.CreateType, s.header.Capacity, createStream)
	}
	s.Descriptor = d
	return nil
}

// each calls fn with the number and first sector of every stored grain, in order, until
// ctx is done.
func (s *Stream) each(ctx context.Context, fn func(number int64, sector uint32) error) error {
	const piece = 4096 // bytes of the directory, so that an empty disk takes few reads
	dir := make([]byte, piece)
	for t := int64(0); t < s.header.tables(); t += piece / 4 {
		part := dir[:min(piece, (s.header.tables()-t)*4)]
		if err := s.read(part, int64(s.header.Dir)*SectorSize+t*4); err != nil {
			return err
		}
		for i := 0; i < len(part); i += 4 {
			if sector := binary.LittleEndian.Uint32(part[i:]); sector != 0 {
				if err := s.eachOf(ctx, t+int64(i/4), sector, fn); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// eachOf is each for the grains of table number, which is at sector.
func (s *Stream) eachOf(ctx context.Context, number int64, sector uint32, fn func(int64, uint32) error) error {
	if err := s.load(number, sector); err != nil {
		return err
	}
	for i := int64(0); i < tableEntries; i++ {
		if sector := binary.LittleEndian.Uint32(s.table[i*4:]); sector != 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := fn(number*tableEntries+i, sector); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads table number, which is at sector, into s.table.
func (s *Stream) load(number int64, sector uint32) error {
	if number == s.number {
		return nil
	}
	if err := s.inside("table", uint64(sector), tableSize); err != nil {
		return err
	}
	s.number = -1
	err := s.read(s.table, int64(sector)*SectorSize)
	if err == nil {
		s.number = number
	}
	return err
}

// grain decompresses grain number, which is at sector, to p. The part of the last grain
// after the end of the disk may be missing from the stream; it is zero in p.
func (s *Stream) grain(p []byte, number int64, sector uint32) error {
	if err := s.unpack(p, number, sector); err != nil {
		return fmt.Errorf("grain %d at sector %d: %w", number, sector, err)
	}
	return nil
}

func (s *Stream) unpack(p []byte, number int64, sector uint32) error {
	if err := s.inside("grain", uint64(sector), SectorSize); err != nil {
		return err
	}
	off := int64(sector) * SectorSize
	head := make([]byte, markerHead+4)
	if err := s.read(head, off); err != nil {
		return err
	}
	mark := decodeMarker(head)
	switch {
	case mark.Value != uint64(number)*s.header.Grain:
		return fmt.Errorf("%w: is marked as sector %d of the disk", ErrCorrupt, mark.Value)
	case mark.Size == 0 || int64(mark.Size) > int64(len(p))+SectorSize: // what cannot be compressed grows a little
		return fmt.Errorf("%w: %d compressed bytes", ErrCorrupt, mark.Size)
	}
	if err := s.inside("end of the grain", uint64(sector), uint64(markerHead)+uint64(mark.Size)); err != nil {
		return err
	}
	if cap(s.packed) < int(mark.Size) {
		s.packed = make([]byte, len(p)+SectorSize)
	}
	packed := s.packed[:mark.Size]
	if err := s.read(packed, off+markerHead); err != nil {
		return err
	}
	return s.inflate(p, packed, min(int64(len(p)), s.Size()-number*int64(len(p))))
}

// inflate decompresses packed to p and fills the rest of p with zeros. It is an error if
// packed has fewer than least bytes of data, or more than fit into p.
func (s *Stream) inflate(p, packed []byte, least int64) error {
	var err error
	if s.z == nil {
		s.z, err = zlib.NewReader(bytes.NewReader(packed))
	} else {
		err = s.z.(zlib.Resetter).Reset(bytes.NewReader(packed), nil)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	n := 0
	for n < len(p) && err == nil {
		var k int
		k, err = s.z.Read(p[n:])
		n += k
	}
	if err == nil { // the end, where the checksum is compared
		var k int
		if k, err = s.z.Read(make([]byte, 1)); k > 0 {
			err = errors.New("decompresses to more than a grain")
		}
	}
	if err != io.EOF {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if int64(n) < least {
		return fmt.Errorf("%w: decompresses to %d bytes", ErrCorrupt, n)
	}
	clear(p[n:])
	return nil
}

// WriteRaw writes the whole disk to w. When ctx is done, WriteRaw returns its cause.
func (s *Stream) WriteRaw(ctx context.Context, w io.Writer) error {
	p, zero := make([]byte, s.grainSize()), make([]byte, s.grainSize())
	n := int64(0) // written
	zeroTo := func(end int64) error {
		for n < end {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			k, err := w.Write(zero[:min(int64(len(zero)), end-n)])
			if n += int64(k); err != nil {
				return err
			}
		}
		return nil
	}
	err := s.each(ctx, func(number int64, sector uint32) error {
		if err := s.inDisk(number); err != nil {
			return err
		}
		if err := s.grain(p, number, sector); err != nil {
			return err
		}
		if err := zeroTo(number * s.grainSize()); err != nil {
			return err
		}
		k, err := w.Write(p[:min(s.grainSize(), s.Size()-n)])
		n += int64(k)
		return err
	})
	if err == nil {
		err = zeroTo(s.Size())
	}
	return err
}

func (s *Stream) grainSize() int64 { return int64(s.header.Grain) * SectorSize }

func (s *Stream) inDisk(number int64) error {
	if number*s.grainSize() >= s.Size() {
		return fmt.Errorf("%w: grain %d is after the end of the disk", ErrCorrupt, number)
	}
	return nil
}

// Check decompresses every grain. When ctx is done, Check returns its cause.
func (s *Stream) Check(ctx context.Context) error {
	p := make([]byte, s.grainSize())
	return s.each(ctx, func(number int64, sector uint32) error {
		if err := s.inDisk(number); err != nil {
			return err
		}
		return s.grain(p, number, sector)
	})
}
