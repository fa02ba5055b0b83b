package vmdk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

const (
	gptMagic       = "EFI PART"
	gptRevision    = 0x00010000
	gptHeaderSize  = 92
	gptEntrySize   = 128
	gptEntries     = 128
	gptTable       = gptEntries * gptEntrySize
	gptTableStart  = 2    // sector
	gptFirst       = 34   // first sector that a partition may have
	gptPartition   = 2048 // first sector of ours: at 1 MiB, as every partitioner does it
	gptTail        = gptTable + SectorSize
	gptAlign       = 4096 // of the size of the disk
	gptReadEntries = 1024 // at most, in tables that we read

	mbrTable     = 446
	mbrProtects  = 0xEE
	mbrSignature = 0xAA55
)

// guid is a GUID as on disk: its first three fields are little endian.
type guid [16]byte

// linuxData is 0FC63DAF-8483-4772-8E79-3D69D8477DE4, "Linux filesystem data".
var linuxData = guid{0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4}

// gptHeader is the sector before or after the table of partitions (UEFI 2.10,
// table 5.5). Positions are sectors.
//
//	off size field         meaning                            value
//	  0    8 Magic                                            gptMagic
//	  8    4 Revision                                         0x00010000
//	 12    4 Size          of what Checksum covers            92
//	 16    4 Checksum      CRC-32, with 0 in this field
//	 20    4 -                                                0
//	 24    8 Self          of this header                     1, or the last of the disk
//	 32    8 Other         of the other header
//	 40    8 First         first that partitions may have     34
//	 48    8 Last          last that partitions may have
//	 56   16 Disk          GUID
//	 72    8 Table         where the partitions are           2, or before the last header
//	 80    4 Entries       of the table                       128
//	 84    4 EntrySize                                        128
//	 88    4 TableSum      CRC-32 of the table
type gptHeader struct {
	Magic     [8]byte
	Revision  uint32
	Size      uint32
	Checksum  uint32
	_         uint32
	Self      uint64
	Other     uint64
	First     uint64
	Last      uint64
	Disk      guid
	Table     uint64
	Entries   uint32
	EntrySize uint32
	TableSum  uint32
}

// gptEntry is a partition (UEFI 2.10, table 5.6).
//
//	off size field  meaning
//	  0   16 Type   GUID; 0 is no partition
//	 16   16 Unique GUID
//	 32    8 First  sector
//	 40    8 Last   sector, the partition's own
//	 48    8 Flags
//	 56   72 Name   UTF-16, padded with 0
type gptEntry struct {
	Type   guid
	Unique guid
	First  uint64
	Last   uint64
	Flags  uint64
	Name   [36]uint16
}

func encode(v any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err) // a struct of fixed size
	}
	return b
}

// encode returns a sector with the header. It computes the checksum.
func (h gptHeader) encode() []byte {
	h.Checksum = 0
	h.Checksum = crc32.ChecksumIEEE(encode(h))
	return append(encode(h), make([]byte, SectorSize-gptHeaderSize)...)
}

func decodeGPT(b []byte) (*gptHeader, error) {
	var h gptHeader
	if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
		return nil, fmt.Errorf("%w: GPT header: %w", ErrCorrupt, err)
	}
	unsummed := h
	unsummed.Checksum = 0
	switch {
	case string(h.Magic[:]) != gptMagic:
		return nil, fmt.Errorf("%w: no GPT header", ErrCorrupt)
	case h.Revision != gptRevision || h.Size != gptHeaderSize || h.EntrySize != gptEntrySize || h.Entries > gptReadEntries:
		return nil, fmt.Errorf("%w: GPT of revision %#x with %d entries of %d bytes", ErrUnsupported, h.Revision, h.Entries, h.EntrySize)
	case h.First > h.Last || h.Last >= max(h.Self, h.Other):
		return nil, fmt.Errorf("%w: GPT header: partitions from sector %d to %d", ErrCorrupt, h.First, h.Last)
	case h.Checksum != crc32.ChecksumIEEE(encode(unsummed)):
		return nil, fmt.Errorf("%w: GPT header: wrong checksum", ErrCorrupt)
	}
	return &h, nil
}

// GPT returns a disk whose only partition is d. Its GUIDs derive from d. The new disk
// shares the files of d and need not be closed; the caller closes d when done with both.
func (d *Disk) GPT() (*Disk, error) {
	first, sectors := int64(gptPartition), d.size/SectorSize
	total := roundUp((first+sectors)*SectorSize+gptTail, gptAlign) / SectorSize
	entry := gptEntry{Type: linuxData, Unique: d.guid("GPT partition"), First: uint64(first), Last: uint64(first + sectors - 1)}
	copy(entry.Name[:], utf16.Encode([]rune("image")))
	table := append(encode(entry), make([]byte, gptTable-gptEntrySize)...)
	h := gptHeader{
		Revision: gptRevision, Size: gptHeaderSize, Self: 1, Other: uint64(total - 1),
		First: gptFirst, Last: uint64(total - gptTail/SectorSize - 1), Disk: d.guid("GPT disk"),
		Table: gptTableStart, Entries: gptEntries, EntrySize: gptEntrySize, TableSum: crc32.ChecksumIEEE(table),
	}
	copy(h.Magic[:], gptMagic)

	head := make([]byte, first*SectorSize)
	protect(head, total)
	copy(head[SectorSize:], h.encode())
	copy(head[gptTableStart*SectorSize:], table)

	h.Self, h.Other, h.Table = h.Other, h.Self, uint64(total-gptTail/SectorSize)
	tail := make([]byte, (total-first-sectors)*SectorSize)
	copy(tail[len(tail)-gptTail:], table)
	copy(tail[len(tail)-SectorSize:], h.encode())
	return d.between(head, tail)
}

// between returns a disk of head, the extents of d, and tail.
func (d *Disk) between(head, tail []byte) (*Disk, error) {
	whole := &Disk{}
	all := append([]*extent{inMemory(head)}, d.extents...)
	for _, e := range append(all, inMemory(tail)) {
		copied := *e
		copied.owned = false
		if err := whole.add(&copied); err != nil {
			return nil, err
		}
	}
	return whole, nil
}

func inMemory(b []byte) *extent {
	return &extent{path: "partition table", data: bytes.NewReader(b), size: int64(len(b)), head: b[:headSize]}
}

// guid is a UUID of version 8 (custom) made of the disk's digest for a purpose.
func (d *Disk) guid(purpose string) (g guid) {
	sum := d.digest(purpose)
	copy(g[:], sum[:])
	g[7] = g[7]&0x0F | 0x80 // the high byte of a little-endian field
	g[8] = g[8]&0x3F | 0x80
	return g
}

// protect writes to b the MBR that tells old partitioners that the disk, of total
// sectors, is full.
func protect(b []byte, total int64) {
	e := b[mbrTable:]
	copy(e[1:4], []byte{0x00, 0x02, 0x00}) // cylinder, head, sector of the first
	e[4] = mbrProtects
	copy(e[5:8], []byte{0xFF, 0xFF, 0xFF})
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(total-1, 0xFFFFFFFF)))
	binary.LittleEndian.PutUint16(b[510:], mbrSignature)
}

// checkGPT checks both headers and tables of a disk, and the places of the partitions.
func checkGPT(disk bounded) error {
	if disk.size%SectorSize != 0 {
		return fmt.Errorf("%w: size of %d bytes is not a multiple of %d", ErrCorrupt, disk.size, SectorSize)
	}
	first, table, err := readGPT(disk, SectorSize)
	if err != nil {
		return err
	}
	last := disk.size - SectorSize
	if first.Other != uint64(last/SectorSize) {
		return fmt.Errorf("%w: the GPT is of a disk of %d sectors, and this one has %d", ErrCorrupt, first.Other+1, disk.size/SectorSize)
	}
	second, _, err := readGPT(disk, last)
	if err != nil {
		return fmt.Errorf("second GPT: %w", err)
	}
	same := *first
	same.Checksum, same.Self, same.Other, same.Table = second.Checksum, second.Self, second.Other, second.Table
	if same != *second || second.Other != first.Self {
		return fmt.Errorf("%w: the two GPT headers differ", ErrCorrupt)
	}
	return checkPartitions(disk, first, table)
}

func readGPT(disk bounded, off int64) (*gptHeader, []byte, error) {
	b, err := disk.sector(off)
	if err != nil {
		return nil, nil, err
	}
	h, err := decodeGPT(b)
	if err != nil {
		return nil, nil, fmt.Errorf("byte %d: %w", off, err)
	}
	if h.Self != uint64(off/SectorSize) {
		return nil, nil, fmt.Errorf("%w: byte %d: GPT header of sector %d", ErrCorrupt, off, h.Self)
	}
	if err := disk.inside("GPT", h.Table, uint64(h.Entries)*gptEntrySize); err != nil {
		return nil, nil, err
	}
	table := make([]byte, h.Entries*gptEntrySize)
	if err := disk.read(table, int64(h.Table)*SectorSize); err != nil {
		return nil, nil, err
	}
	if crc32.ChecksumIEEE(table) != h.TableSum {
		return nil, nil, fmt.Errorf("%w: GPT at sector %d: wrong checksum", ErrCorrupt, h.Table)
	}
	return h, table, nil
}

func checkPartitions(disk bounded, h *gptHeader, table []byte) error {
	for i := 0; i < len(table); i += gptEntrySize {
		var e gptEntry
		if _, err := binary.Decode(table[i:], binary.LittleEndian, &e); err != nil {
			return err
		}
		if e.Type == (guid{}) {
			continue
		}
		if err := e.check(disk, h); err != nil {
			return fmt.Errorf("partition %d: %w", i/gptEntrySize+1, err)
		}
	}
	return nil
}

func (e *gptEntry) check(disk bounded, h *gptHeader) error {
	if e.First < h.First || e.Last > h.Last || e.First > e.Last {
		return fmt.Errorf("%w: from sector %d to %d is not inside %d to %d", ErrCorrupt, e.First, e.Last, h.First, h.Last)
	}
	if e.First%(gptAlign/SectorSize) != 0 {
		return fmt.Errorf("%w: begins at sector %d, inside a block of %d bytes", ErrUnsupported, e.First, gptAlign)
	}
	size := int64(e.Last-e.First+1) * SectorSize
	d, err := FromReaderAt("image", io.NewSectionReader(disk.r, int64(e.First)*SectorSize, size), size)
	if err != nil {
		return err
	}
	return d.Verify()
}
