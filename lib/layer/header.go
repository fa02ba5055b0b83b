package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"ocipipe/lib/tree"
)

// A tar header is one block of 512 bytes (POSIX.1-1988 ustar; GNU tar's tar.h):
//
//	  0 100 name        124 12 size       257  6 magic  "ustar\0" or "ustar "
//	100   8 mode        136 12 mtime      263  2 version "00" or " \0"
//	108   8 uid         148  8 checksum   329  8 device major
//	116   8 gid         156  1 type       337  8 device minor
//	                    157 100 linkname  345 155 prefix of name (ustar)
//
// Old GNU sparse files (type S) have instead of the prefix
//
//	386 4*24 offset[12], length[12]       482  1 more: extension blocks follow
//	483  12  real size
//
// and each extension block 21*24 of the same pairs and 504 1 more.
const (
	blockSize = 512

	offSparse       = 386
	offSparseMore   = 482
	offRealSize     = 483
	headerPairs     = 4
	extensionPairs  = 21
	offExtendedMore = 504
)

// Types of tar entries.
const (
	typeFile       = '0'
	typeFileV7     = 0
	typeHardlink   = '1'
	typeSymlink    = '2'
	typeChar       = '3'
	typeBlock      = '4'
	typeDir        = '5'
	typeFifo       = '6'
	typeContiguous = '7'
	typeSparse     = 'S' // old GNU
	typePax        = 'x'
	typePaxGlobal  = 'g'
	typeLongName   = 'L' // GNU
	typeLongLink   = 'K' // GNU
)

// errChecksum says that a block is not a tar header.
var errChecksum = errors.New("header checksum does not match")

// header describes one entry of a tar. It includes what the extended headers say.
type header struct {
	name, link string
	kind       byte
	mode       int64
	uid, gid   int64
	size       int64 // of the data in the archive
	mtime      tree.Time
	dev        tree.Device
	xattrs     []tree.Xattr
	libarchive []tree.Xattr  // those in libarchive's form, until sortXattrs
	sparse     []tree.Extent // nil: not sparse
	realSize   int64         // of a sparse file
	mapInData  bool          // the map of the sparse file precedes its data
}

// decode decodes a header block, which must not be all zeros. The extended headers are
// applied later; see extend.
func (h *header) decode(b []byte) error {
	if !checksumOK(b) {
		return errChecksum
	}
	*h = header{
		name: cString(b[0:100]),
		link: cString(b[157:257]),
		kind: b[156],
	}
	var devMajor, devMinor int64
	for _, f := range []struct {
		name string
		to   *int64
		b    []byte
	}{
		{"mode", &h.mode, b[100:108]},
		{"uid", &h.uid, b[108:116]},
		{"gid", &h.gid, b[116:124]},
		{"size", &h.size, b[124:136]},
		{"mtime", &h.mtime.Sec, b[136:148]},
	} {
		if err := parseNumber(f.b, f.to); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	ustar := string(b[257:263]) == "ustar\x00"
	if ustar || string(b[257:263]) == "ustar " {
		if h.kind == typeChar || h.kind == typeBlock {
			if err := errors.Join(parseNumber(b[329:337], &devMajor), parseNumber(b[337:345], &devMinor)); err != nil {
				return fmt.Errorf("device number: %w", err)
			}
			if uint64(devMajor|devMinor) > math.MaxUint32 {
				return fmt.Errorf("device number %d, %d", devMajor, devMinor)
			}
			h.dev = tree.Device{Major: uint32(devMajor), Minor: uint32(devMinor)}
		}
	}
	if ustar {
		h.prefix(b)
	}
	return nil
}

// prefix puts the field prefix, the beginning of a long name, before the name. Schily's tar
// marks its shorter prefix field by "tar\0" at the end of the block.
func (h *header) prefix(b []byte) {
	field := b[345:500]
	if string(b[508:512]) == "tar\x00" {
		field = b[345:476]
	}
	if p := cString(field); p != "" {
		h.name = p + "/" + h.name
	}
}

// checksumOK verifies the sum of the block's bytes, in which the checksum field counts as
// spaces. Some old tars summed signed bytes.
func checksumOK(b []byte) bool {
	const spaces = 8 * ' '
	field := b[148:156]
	var want int64
	if parseNumber(field, &want) != nil {
		return false
	}
	if want == sumBytes(b[:blockSize])-sumBytes(field)+spaces {
		return true
	}
	signed := int64(spaces)
	for i, c := range b[:blockSize] {
		if i < 148 || i >= 156 {
			signed += int64(int8(c))
		}
	}
	return want == signed
}

// sumBytes adds up b, a multiple of 8 bytes and at most a block, 8 at a time.
func sumBytes(b []byte) int64 {
	const even = 0x00FF00FF00FF00FF
	var lanes uint64 // four sums of 16 bits; those of a block do not overflow
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		lanes += w&even + w>>8&even
	}
	return int64(lanes&0xFFFF + lanes>>16&0xFFFF + lanes>>32&0xFFFF + lanes>>48)
}

// cString returns b up to its first NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// parseNumber reads octal digits between spaces and NULs or, where the first bit
// is set, a two's complement number in base 256, into to.
func parseNumber(b []byte, to *int64) error {
	if b[0]&0x80 != 0 {
		return parseBase256(b, to)
	}
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == 0) {
		i++
	}
	var n uint64
	for ; i < len(b) && b[i] >= '0' && b[i] <= '7'; i++ {
		if n>>60 != 0 {
			return errOctal(b)
		}
		n = n<<3 | uint64(b[i]-'0')
	}
	for i < len(b) && b[i] == ' ' {
		i++
	}
	if i < len(b) && b[i] != 0 {
		return errOctal(b)
	}
	*to = int64(n)
	return nil
}

func errOctal(b []byte) error {
	return fmt.Errorf("%q is not an octal number", bytes.Trim(b, " \x00"))
}

func parseBase256(b []byte, to *int64) error {
	negative := b[0]&0x40 != 0
	var n uint64
	for i, c := range b {
		if negative {
			c = ^c
		}
		if i == 0 {
			c &= 0x7f
		}
		if n>>55 != 0 {
			return errors.New("number of more than 64 bits")
		}
		n = n<<8 | uint64(c)
	}
	*to = int64(n)
	if negative {
		*to = ^int64(n)
	}
	return nil
}

// extension holds the extended headers that precede the header of an entry. A global header
// does not belong to an entry: it drops the ones before it, as in archive/tar, and has no
// other effect.
type extension struct {
	name, link string // GNU long names
	records    []byte // of the last pax header
}

// isExtension reports whether h precedes the header of an entry.
func (h *header) isExtension() bool {
	return h.kind == typeLongName || h.kind == typeLongLink || h.kind == typePax || h.kind == typePaxGlobal
}

// extend applies x, whatever the order of its parts: a GNU name overrides a pax one, and
// the name of a sparse file overrides both.
func (h *header) extend(x *extension) error {
	var sparse paxSparse
	if err := h.pax(x.records, &sparse); err != nil {
		return err
	}
	if x.name != "" {
		h.name = x.name
	}
	if x.link != "" {
		h.link = x.link
	}
	return sparse.finish(h)
}

// pax applies the records of an extended header: "LEN KEY=VALUE\n" each, where LEN counts
// the whole record (POSIX.1-2001 pax). There may be hundreds of thousands of records without
// effect, so it makes strings only of those that have one.
func (h *header) pax(records []byte, sparse *paxSparse) error {
	for len(records) > 0 {
		key, value, rest, err := cutRecord(records)
		if err != nil {
			return err
		}
		records = rest
		if err := h.record(key, value, sparse); err != nil {
			return fmt.Errorf("pax record %s: %w", key, err)
		}
	}
	h.sortXattrs()
	return nil
}

var errRecord = errors.New("malformed pax record")

func cutRecord(b []byte) (key, value, rest []byte, err error) {
	n, digits := 0, 0
	for ; digits < min(len(b), 10) && b[digits] >= '0' && b[digits] <= '9'; digits++ {
		n = 10*n + int(b[digits]-'0')
	}
	if digits == len(b) || b[digits] != ' ' || n > len(b) || n < digits+4 || b[n-1] != '\n' {
		return nil, nil, nil, errRecord
	}
	k, v, ok := bytes.Cut(b[digits+1:n-1], []byte("="))
	if !ok || len(k) == 0 {
		return nil, nil, nil, errRecord
	}
	return k, v, b[n:], nil
}

// record applies one pax record. An empty value leaves the value of the header block.
func (h *header) record(key, value []byte, sparse *paxSparse) error {
	if name, ok := bytes.CutPrefix(key, []byte("SCHILY.xattr.")); ok {
		return h.schilyXattr(string(name), string(value))
	}
	if name, ok := bytes.CutPrefix(key, []byte("LIBARCHIVE.xattr.")); ok {
		return h.libarchiveXattr(string(name), string(value))
	}
	if word, ok := bytes.CutPrefix(key, []byte("GNU.sparse.")); ok {
		return sparse.record(string(word), string(value))
	}
	if len(value) == 0 {
		return nil
	}
	var err error
	switch string(key) {
	case "path":
		h.name, err = noNUL(string(value))
	case "linkpath":
		h.link, err = noNUL(string(value))
	case "size":
		h.size, err = parseDecimal(string(value))
	case "uid":
		h.uid, err = parseDecimal(string(value))
	case "gid":
		h.gid, err = parseDecimal(string(value))
	case "mtime":
		h.mtime, err = parsePaxTime(string(value))
	case "SCHILY.devmajor":
		err = parseDevice(string(value), &h.dev.Major)
	case "SCHILY.devminor":
		err = parseDevice(string(value), &h.dev.Minor)
	}
	return err
}

func noNUL(s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", errors.New("NUL in a name")
	}
	return s, nil
}

func parseDecimal(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}

func parseDevice(s string, to *uint32) error {
	n, err := parseDecimal(s)
	if err == nil && (n < 0 || n > math.MaxUint32) {
		err = fmt.Errorf("%d is not a device number", n)
	}
	*to = uint32(n)
	return err
}

// parsePaxTime parses [-]SECONDS[.FRACTION]; digits after the ninth are cut off.
func parsePaxTime(s string) (t tree.Time, err error) {
	whole, fraction, _ := strings.Cut(s, ".")
	errForm := fmt.Errorf("%q is not a time", s)
	if t.Sec, err = strconv.ParseInt(whole, 10, 64); err != nil && whole != "-" && whole != "" {
		return t, errForm
	}
	digits := (fraction + "000000000")[:9]
	nsec, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || strings.Trim(fraction, "0123456789") != "" || whole+fraction == "" || whole+fraction == "-" {
		return t, errForm
	}
	t.Nsec = uint32(nsec)
	if strings.HasPrefix(whole, "-") && nsec > 0 {
		if t.Sec == math.MinInt64 {
			return t, errForm
		}
		t.Sec, t.Nsec = t.Sec-1, 1e9-t.Nsec
	}
	return t, nil
}
