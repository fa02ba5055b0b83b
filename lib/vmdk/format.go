package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var (
	// ErrCorrupt is wrapped by the errors about a disk that breaks the rules of
	// its format.
	ErrCorrupt = errors.New("corrupt disk")
	// ErrUnsupported is wrapped by the errors about a disk that may be valid, but
	// that some virtual machine or this package does not read.
	ErrUnsupported = errors.New("unsupported disk")
)

// SectorSize is the unit of every format in this package.
const SectorSize = 512

const (
	streamMagic   = 0x564D444B // KDMV
	streamVersion = 3

	grainSectors = 128
	grainSize    = grainSectors * SectorSize
	tableEntries = 512 // one for each grain
	tableSize    = tableEntries * 4
	tableSectors = tableSize / SectorSize

	textSector  = 1 // the descriptor in a stream
	textSectors = 20
	overhead    = 128 // sectors before the first grain

	dirAtEnd = math.MaxUint64 // in the header: the footer says where the directory is

	headerSize = 512
	markerSize = 512 // of a marker without data
	markerHead = 12  // of a grain's marker; the data follows

	maxCapacity = 64 << 40 // bytes; the directory of such a disk takes 8 MiB of memory
	maxGrain    = 2048     // sectors, in streams that we read
)

// Flags of the header of a stream.
const (
	flagNewlines   = 0x00001 // Newlines is valid
	flagSecondDir  = 0x00002 // SecondDir is valid
	flagCompressed = 0x10000
	flagMarkers    = 0x20000

	flagsKnown = flagNewlines | flagSecondDir | flagCompressed | flagMarkers

	compressDeflate = 1 // RFC 1950
)

// newlines changes if the file is transferred as text, and so shows that it was.
var newlines = [4]byte{'\n', ' ', '\r', '\n'}

// header is the first sector of a stream (Virtual Disk Format 5.0, SparseExtentHeader;
// block/vmdk.c calls it VMDK4Header). The footer is the same but for Dir. Offsets and
// sizes are in sectors.
//
//	off size field         meaning                              range
//	  0    4 Magic         streamMagic
//	  4    4 Version                                            written 3, read 1 to 3
//	  8    4 Flags                                              newlines, compressed, markers
//	 12    8 Capacity      of the disk                          1 to 64 TiB
//	 20    8 Grain         size of a grain                      written 128, read 8 to 2048, a power of 2
//	 28    8 Text          where the descriptor is              written 1
//	 36    8 TextSize                                           written 20, read up to 2048
//	 44    4 TableEntries                                       512
//	 48    8 SecondDir     a second directory                   written 0, not read
//	 56    8 Dir           the directory of tables              header: all ones if the footer has it
//	 64    8 Overhead      the first grain                      inside the file
//	 72    1 Unclean       was not closed                       0
//	 73    4 Newlines      see newlines
//	 77    2 Compression                                        1
//	 79  433 -             0
type header struct {
	Magic        uint32
	Version      uint32
	Flags        uint32
	Capacity     uint64
	Grain        uint64
	Text         uint64
	TextSize     uint64
	TableEntries uint32
	SecondDir    uint64
	Dir          uint64
	Overhead     uint64
	Unclean      uint8
	Newlines     [4]byte
	Compression  uint16
	_            [433]byte
}

func newHeader(capacity int64, dir uint64) *header {
	return &header{
		Magic: streamMagic, Version: streamVersion, Flags: flagNewlines | flagCompressed | flagMarkers,
		Capacity: uint64(capacity / SectorSize), Grain: grainSectors, Text: textSector, TextSize: textSectors,
		TableEntries: tableEntries, Dir: dir, Overhead: overhead, Newlines: newlines, Compression: compressDeflate,
	}
}

func (h *header) encode() []byte {
	b, err := binary.Append(nil, binary.LittleEndian, h)
	if err != nil {
		panic(err) // a struct of fixed size
	}
	return b
}

// decodeHeader decodes a header and checks its fields. It cannot compare offsets with the
// length of the file; the caller does.
func decodeHeader(b []byte) (*header, error) {
	var h header
	if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrCorrupt, err)
	}
	switch {
	case h.Magic != streamMagic:
		return nil, fmt.Errorf("%w: header: magic is %#x", ErrCorrupt, h.Magic)
	case h.Version < 1 || h.Version > 3:
		return nil, fmt.Errorf("%w: header: version %d", ErrUnsupported, h.Version)
	case h.Flags&flagNewlines != 0 && h.Newlines != newlines:
		return nil, fmt.Errorf("%w: header: newlines are %q: it was transferred as text", ErrCorrupt, h.Newlines)
	case h.Flags&(flagCompressed|flagMarkers) != flagCompressed|flagMarkers || h.Flags&^flagsKnown != 0:
		return nil, fmt.Errorf("%w: header: flags %#x: not stream-optimized", ErrUnsupported, h.Flags)
	case h.Compression != compressDeflate:
		return nil, fmt.Errorf("%w: header: compression %d", ErrUnsupported, h.Compression)
	case h.Capacity == 0 || h.Capacity > maxCapacity/SectorSize:
		return nil, fmt.Errorf("%w: header: capacity of %d sectors", ErrUnsupported, h.Capacity)
	case h.Grain < 8 || h.Grain > maxGrain || h.Grain&(h.Grain-1) != 0:
		return nil, fmt.Errorf("%w: header: grains of %d sectors", ErrUnsupported, h.Grain)
	case h.TableEntries != tableEntries:
		return nil, fmt.Errorf("%w: header: tables of %d grains", ErrUnsupported, h.TableEntries)
	case h.TextSize > maxText/SectorSize:
		return nil, fmt.Errorf("%w: header: descriptor of %d sectors", ErrUnsupported, h.TextSize)
	case h.Unclean != 0:
		return nil, fmt.Errorf("%w: header: it was not closed", ErrCorrupt)
	}
	return &h, nil
}

// tables is the number of grain tables, and of entries of the directory.
func (h *header) tables() int64 {
	span := int64(h.Grain) * tableEntries
	return (int64(h.Capacity) + span - 1) / span
}

// Types of markers without data.
const (
	markEnd = iota
	markTable
	markDir
	markFooter
)

// marker stands before every part of a stream except the header and the descriptor.
//
//	off size field  meaning
//	  0    8 Value  of a grain: its sector on the disk; else sectors that follow
//	  8    4 Size   of a grain: bytes that follow; else 0
//	 12    4 Type   only if Size is 0; a grain's data begins here
type marker struct {
	Value uint64
	Size  uint32
	Type  uint32
}

// encode writes m to b: the marker of a grain takes markerHead bytes, any other 4 more.
func (m marker) encode(b []byte) {
	binary.LittleEndian.PutUint64(b, m.Value)
	binary.LittleEndian.PutUint32(b[8:], m.Size)
	if m.Size == 0 {
		binary.LittleEndian.PutUint32(b[markerHead:], m.Type)
	}
}

func decodeMarker(b []byte) marker {
	m := marker{Value: binary.LittleEndian.Uint64(b), Size: binary.LittleEndian.Uint32(b[8:])}
	if m.Size == 0 {
		m.Type = binary.LittleEndian.Uint32(b[markerHead:])
	}
	return m
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
