package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// StreamOptions are for WriteStream and WriteStreamFrom.
type StreamOptions struct {
	Jobs  int // workers that compress; 0 is one for each processor
	Level int // of compression, 1 to 9; 0 is DefaultLevel
}

// WriteStream writes the disk to w as a stream-optimized VMDK, from its beginning to
// its end. It does not read holes of the extents, and does not write grains of zeros.
// The bytes depend on the content of the disk and o.Level only, not on o.Jobs or on where
// extents meet; WriteStreamFrom writes the same. When ctx is done, WriteStream returns its
// cause.
func (d *Disk) WriteStream(ctx context.Context, w io.Writer, o StreamOptions) error {
	first := make([]byte, min(d.size, headSize))
	if err := d.readAt(first, 0); err != nil {
		return err
	}
	return writeStream(ctx, w, &diskGrains{disk: d}, d.size, first, o)
}

// WriteStreamFrom is WriteStream for a disk that is read from r, from its beginning to its
// end. It is an error if r does not give exactly size bytes. WriteStreamFrom closes r. It
// may do so during a call of r.Read, if w fails or ctx is done; that call then has to
// return.
func WriteStreamFrom(ctx context.Context, w io.Writer, r io.ReadCloser, size int64, o StreamOptions) error {
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.Close() })()
	if size <= 0 || size%SectorSize != 0 {
		return fmt.Errorf("size of %d bytes is not a multiple of %d", size, SectorSize)
	}
	first := make([]byte, min(size, headSize))
	if n, err := io.ReadFull(r, first); ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil {
		return shortInput(int64(n), size, err)
	}
	src := &readerGrains{r: io.MultiReader(bytes.NewReader(first), r), in: r, size: size}
	return writeStream(ctx, w, src, size, first, o)
}

func shortInput(n, size int64, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("input ends at byte %d of %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	return err
}

func writeStream(ctx context.Context, w io.Writer, src grains, size int64, first []byte, o StreamOptions) error {
	if size > maxCapacity {
		return fmt.Errorf("%w: a disk of %d bytes: stream-optimized ones end at %d", ErrUnsupported, size, int64(maxCapacity))
	}
	s := &streamWriter{w: w, header: newHeader(size, dirAtEnd)}
	s.dir = make([]uint32, s.header.tables())
	cid := contentID(digest(purposeCID, []head{{size, first}}))
	if err := s.begin(size, cid); err != nil {
		return err
	}
	if err := compress(ctx, src, o, s.grain); err != nil {
		return err
	}
	return s.end()
}

// streamWriter writes the sections of a stream; see the byte map in doc.go.
type streamWriter struct {
	w      io.Writer
	header *header
	pos    int64 // sectors written
	table  [tableEntries]uint32
	number int64 // of table, on the disk
	used   bool  // table has entries
	dir    []uint32
}

// streamName stands in the descriptor where others name a file.
const streamName = "disk.vmdk"

func (s *streamWriter) begin(size int64, cid uint32) error {
	desc := Descriptor{CID: cid, CreateType: createStream, Lines: []Line{{Sectors: size / SectorSize, Type: typeSparse, Name: streamName}}}
	text, err := desc.Encode()
	if err != nil {
		return err
	}
	b := make([]byte, overhead*SectorSize)
	copy(b, s.header.encode())
	copy(b[textSector*SectorSize:][:textSectors*SectorSize], text)
	return s.write(b)
}

func (s *streamWriter) write(b []byte) error {
	s.pos += int64(len(b)) / SectorSize
	if s.pos > math.MaxUint32 {
		return fmt.Errorf("%w: the compressed disk is larger than 2 TiB", ErrUnsupported)
	}
	_, err := s.w.Write(b)
	return err
}

// grain writes grain n. b is its marker and compressed data, in whole sectors.
func (s *streamWriter) grain(n int64, b []byte) error {
	if err := s.startTable(n / tableEntries); err != nil {
		return err
	}
	s.table[n%tableEntries], s.used = uint32(s.pos), true
	return s.write(b)
}

// startTable makes table number the current one. It writes the one before, unless that is
// empty.
func (s *streamWriter) startTable(number int64) error {
	if number == s.number {
		return nil
	}
	if s.used {
		b := make([]byte, markerSize, markerSize+tableSize)
		marker{Value: tableSectors, Type: markTable}.encode(b)
		s.dir[s.number] = uint32(s.pos + 1)
		if err := s.write(appendNumbers(b, s.table[:])); err != nil {
			return err
		}
		s.table, s.used = [tableEntries]uint32{}, false
	}
	s.number = number
	return nil
}

func appendNumbers(b []byte, numbers []uint32) []byte {
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// end writes the sections after the grains.
func (s *streamWriter) end() error {
	if err := s.startTable(-1); err != nil {
		return err
	}
	sectors := roundUp(int64(len(s.dir))*4, SectorSize) / SectorSize
	b := make([]byte, markerSize, (sectors+4)*SectorSize)
	marker{Value: uint64(sectors), Type: markDir}.encode(b)
	s.header.Dir = uint64(s.pos + 1)
	b = appendNumbers(b, s.dir)[:(1+sectors)*SectorSize]

	foot := make([]byte, markerSize)
	marker{Value: 1, Type: markFooter}.encode(foot)
	b = append(append(b, foot...), s.header.encode()...)
	return s.write(append(b, make([]byte, markerSize)...)) // the end of the stream is markEnd, all 0
}

// grains gives the grains of a disk in order.
type grains interface {
	// next fills p with the next grain, and returns its number. It may pass over grains
	// of zeros. A grain that the disk ends in is filled with zeros. After the last grain
	// the error is io.EOF.
	next(p []byte) (number int64, err error)
	// stop makes a call of next that is waiting return.
	stop()
}

// diskGrains gives the grains of a disk that are not in holes.
type diskGrains struct {
	disk *Disk
	pos  int64 // grains before it have been given
	end  int64 // of the data at pos
}

func (g *diskGrains) next(p []byte) (int64, error) {
	if g.pos >= g.end {
		from, end, err := g.disk.nextData(g.pos)
		if err != nil {
			return 0, err
		}
		if from == g.disk.size {
			return 0, io.EOF
		}
		g.pos, g.end = from/grainSize*grainSize, end // never moves back, because from >= pos
	}
	at := g.pos
	n := min(grainSize, g.disk.size-at)
	clear(p[n:])
	g.pos += grainSize
	return at / grainSize, g.disk.readAt(p[:n], at)
}

func (g *diskGrains) stop() {} // next does not wait

// readerGrains reads a disk from its beginning to its end.
type readerGrains struct {
	r    io.Reader
	in   io.Closer // closed to stop r
	pos  int64
	size int64
}

func (g *readerGrains) next(p []byte) (int64, error) {
	if g.pos == g.size {
		if n, err := io.ReadFull(g.r, p[:1]); n > 0 {
			return 0, fmt.Errorf("input goes on after byte %d", g.size)
		} else if !errors.Is(err, io.EOF) {
			return 0, err
		}
		return 0, io.EOF
	}
	n := min(grainSize, g.size-g.pos)
	if n, err := io.ReadFull(g.r, p[:n]); err != nil {
		return 0, shortInput(g.pos+int64(n), g.size, err)
	}
	clear(p[n:])
	number := g.pos / grainSize
	g.pos += n
	return number, nil
}

func (g *readerGrains) stop() { g.in.Close() }
