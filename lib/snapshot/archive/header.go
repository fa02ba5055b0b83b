package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"ocipipe/lib/snapshot/fault"
)

// blockSize is the unit of a tar.
const blockSize = 512

// The fields of a header (GNU tar, src/tar.h, struct oldgnu_header).
//
//	off size field     meaning
//	  0  100 name      NUL at the end, unless it has 100 bytes
//	100    8 mode      octal
//	108    8 uid       octal
//	116    8 gid       octal
//	124   12 size      bytes that are stored
//	136   12 mtime     seconds
//	148    8 checksum  sum of all bytes, these ones as spaces
//	156    1 type
//	157  100 link      not used
//	257    8 magic     "ustar  \0" for GNU, "ustar\0" and "00" for ustar
//	345  155 prefix    of a ustar name
//	386   96 sparse    four runs of offset and length, 12 bytes each
//	482    1 extended  whether a block with more runs follows
//	483   12 realsize  size of the file
const (
	nameOff, nameLen         = 0, 100
	modeOff                  = 100
	uidOff, gidOff           = 108, 116
	sizeOff, mtimeOff        = 124, 136
	checksumOff, checksumLen = 148, 8
	typeOff                  = 156
	magicOff, magicLen       = 257, 8
	prefixOff, prefixLen     = 345, 155
	sparseOff                = 386
	extendedOff              = 482
	realSizeOff              = 483

	numberLen = 12
	runLen    = 2 * numberLen

	runsInHeader = 4
	runsInBlock  = 21
	moreOff      = runsInBlock * runLen // in a block of runs: whether another follows
)

const (
	gnuMagic   = "ustar  \x00"
	ustarMagic = "ustar\x00"
)

// The types of members.
const (
	typeFile   = '0'
	typeOld    = 0
	typeDense  = '7'
	typeSparse = 'S'
	typeDir    = '5'
)

// MaxRuns is how many runs of data the sparse files of an archive may have together.
const MaxRuns = 1000000

// Run is a run of data in a file.
type Run struct{ Off, Len int64 }

// Member is a file or directory in an archive.
type Member struct {
	Name   string
	Dir    bool
	Stored int64 // bytes of data in the archive
	Size   int64 // of the file
	Runs   []Run // of a sparse file; nil if all of the file is stored
}

type block [blockSize]byte

func (b *block) isZero() bool { return *b == block{} }

// text returns a field up to its NUL.
func (b *block) text(off, n int) string {
	s, _, _ := bytes.Cut(b[off:off+n], []byte{0})
	return string(s)
}

// number reads a field of n bytes, at most 12: octal or base 256.
func (b *block) number(off, n int) (int64, error) {
	p := b[off : off+n]
	if p[0] == 0x80 {
		var v [numberLen]byte
		copy(v[numberLen-n+1:], p[1:])
		if high, low := binary.BigEndian.Uint32(v[:]), binary.BigEndian.Uint64(v[4:]); high == 0 && low < 1<<63 {
			return int64(low), nil
		}
		return 0, fault.Corrupt("number %x is too large", p)
	}
	s := strings.Trim(string(p), " \x00")
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 8, 63)
	if err != nil {
		return 0, fault.Corrupt("%.20q is not an octal number", s)
	}
	return int64(v), nil
}

// setNumber writes a field of 12 bytes.
func (b *block) setNumber(off int, v int64) {
	p := b[off : off+numberLen]
	if v < 1<<33 {
		copy(p, fmt.Sprintf("%011o\x00", v))
		return
	}
	p[0] = 0x80
	binary.BigEndian.PutUint64(p[numberLen-8:], uint64(v))
}

func (b *block) checksum() (sum int64) {
	for i, c := range b {
		if i >= checksumOff && i < checksumOff+checksumLen {
			c = ' '
		}
		sum += int64(c)
	}
	return sum
}

// encode returns the blocks before the data of a regular file.
func (m *Member) encode() ([]byte, error) {
	if len(m.Name) > nameLen {
		return nil, fault.Unsupported("%s: the name has more than the %d bytes that fit", m.Name, nameLen)
	}
	var b block
	copy(b[nameOff:], m.Name)
	copy(b[modeOff:], "0000644\x00")
	copy(b[uidOff:], "0000000\x00")
	copy(b[gidOff:], "0000000\x00")
	b.setNumber(sizeOff, m.Stored)
	b.setNumber(mtimeOff, 0)
	b[typeOff] = typeFile
	copy(b[magicOff:], gnuMagic)
	rest := m.Runs
	if m.Runs != nil {
		b[typeOff] = typeSparse
		b.setNumber(realSizeOff, m.Size)
		rest = b.setRuns(sparseOff, rest, runsInHeader)
		b[extendedOff] = flag(len(rest) > 0)
	}
	copy(b[checksumOff:], fmt.Sprintf("%06o\x00 ", b.checksum()))
	out := append(make([]byte, 0, (2+len(rest)/runsInBlock)*blockSize), b[:]...)
	for len(rest) > 0 {
		b = block{}
		rest = b.setRuns(0, rest, runsInBlock)
		b[moreOff] = flag(len(rest) > 0)
		out = append(out, b[:]...)
	}
	return out, nil
}

// setRuns writes up to n runs and returns the others.
func (b *block) setRuns(off int, runs []Run, n int) []Run {
	n = min(n, len(runs))
	for i, r := range runs[:n] {
		b.setNumber(off+i*runLen, r.Off)
		b.setNumber(off+i*runLen+numberLen, r.Len)
	}
	return runs[n:]
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decode returns the member that the header b begins, without the runs in further blocks.
// more says that there are such.
func decode(b *block) (m *Member, more bool, err error) {
	sum, err := b.number(checksumOff, checksumLen)
	if err != nil || sum != b.checksum() {
		return nil, false, fault.Corrupt("not a header of tar: its checksum is wrong")
	}
	m = &Member{Name: b.text(nameOff, nameLen)}
	if b[typeOff] != typeSparse && strings.HasPrefix(b.text(magicOff, magicLen)+"\x00", ustarMagic) {
		if prefix := b.text(prefixOff, prefixLen); prefix != "" {
			m.Name = prefix + "/" + m.Name
		}
	}
	if m.Stored, err = b.number(sizeOff, numberLen); err != nil {
		return nil, false, fmt.Errorf("%s: size: %w", m.Name, err)
	}
	m.Size = m.Stored
	switch b[typeOff] {
	case typeFile, typeOld, typeDense:
	case typeDir:
		m.Dir = true
		if m.Name = strings.TrimSuffix(m.Name, "/"); m.Stored != 0 {
			return nil, false, fault.Corrupt("%s: a directory with data", m.Name)
		}
	case typeSparse:
		m.Runs = []Run{}
		if m.Size, err = b.number(realSizeOff, numberLen); err == nil {
			err = m.addRuns(b, sparseOff, runsInHeader)
		}
		more = b[extendedOff] != 0
	default:
		err = fault.Unsupported("entries of type %q are not allowed", rune(b[typeOff]))
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", m.Name, err)
	}
	return m, more, nil
}

// addRuns appends the runs of b to those of m, and checks that they ascend.
func (m *Member) addRuns(b *block, off, n int) error {
	ended := false
	for i := range n {
		at := off + i*runLen
		if b[at] == 0 && b[at+numberLen] == 0 {
			ended = true
			continue
		}
		if ended {
			return fault.Corrupt("sparse map with a gap")
		}
		var r Run
		var err error
		if r.Off, err = b.number(at, numberLen); err == nil {
			r.Len, err = b.number(at+numberLen, numberLen)
		}
		if err != nil {
			return fmt.Errorf("sparse map: %w", err)
		}
		end := int64(0)
		if k := len(m.Runs); k > 0 {
			end = m.Runs[k-1].Off + m.Runs[k-1].Len
		}
		switch {
		case r.Off < end:
			return fault.Corrupt("sparse map overlaps or runs backwards at %d", r.Off)
		case r.Off > m.Size || r.Len > m.Size-r.Off:
			return fault.Corrupt("sparse map reaches beyond the size %d", m.Size)
		}
		m.Runs = append(m.Runs, r)
	}
	return nil
}

// checkRuns checks the complete map.
func (m *Member) checkRuns() error {
	if m.Runs == nil {
		return nil
	}
	stored, end := int64(0), int64(0)
	for _, r := range m.Runs {
		if r.Len > 0 && stored%blockSize != 0 {
			return fault.Corrupt("%s: sparse map: the data for %d does not begin at a multiple of %d", m.Name, r.Off, blockSize)
		}
		stored, end = stored+r.Len, r.Off+r.Len
	}
	switch {
	case end != m.Size || len(m.Runs) == 0:
		return fault.Corrupt("%s: sparse map ends at %d, the file at %d", m.Name, end, m.Size)
	case stored != m.Stored:
		return fault.Corrupt("%s: sparse map has %d bytes, the archive %d", m.Name, stored, m.Stored)
	}
	return nil
}
