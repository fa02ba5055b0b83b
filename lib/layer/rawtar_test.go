package layer_test

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// raw is a tar header by hand, field by field as the archive has them.
type raw struct {
	name, link, prefix  string
	mode, uid, gid      string // "" is 0
	size, mtime         string
	major, minor        string
	magic               string // "" is ustar's
	kind                byte
	tail                string // of the block
	data                string
	signed, badChecksum bool
}

// bytes is the header's block and its data, padded.
func (r raw) bytes() []byte {
	b := make([]byte, 512)
	if r.magic == "" {
		r.magic = "ustar\x0000"
	}
	if r.size == "" {
		r.size = fmt.Sprintf("%011o", len(r.data))
	}
	if r.kind == 0 {
		r.kind = '0'
	}
	for _, f := range []struct {
		off  int
		text string
	}{
		{0, r.name}, {100, r.mode}, {108, r.uid}, {116, r.gid}, {124, r.size}, {136, r.mtime}, {148, "        "},
		{157, r.link}, {257, r.magic}, {329, r.major}, {337, r.minor}, {345, r.prefix}, {512 - len(r.tail), r.tail},
	} {
		copy(b[f.off:], f.text)
	}
	b[156] = r.kind
	if r.kind == 'V' { // version 7
		b[156] = 0
		clear(b[257:])
	}
	sum := int64(0)
	for _, c := range b {
		if r.signed {
			sum += int64(int8(c))
		} else {
			sum += int64(c)
		}
	}
	if r.badChecksum {
		sum++
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	b = append(b, r.data...)
	return append(b, make([]byte, -len(b)&511)...)
}

var endBlocks = make([]byte, 1024)

// rawTar is an archive of the headers, with its end.
func rawTar(headers ...raw) []byte {
	var b []byte
	for _, h := range headers {
		b = append(b, h.bytes()...)
	}
	return append(b, endBlocks...)
}

// paxRecord is "LEN KEY=VALUE\n".
func paxRecord(key, value string) string {
	n := len(key) + len(value) + 3
	for n != len(fmt.Sprint(n))+len(key)+len(value)+3 {
		n = len(fmt.Sprint(n)) + len(key) + len(value) + 3
	}
	return fmt.Sprintf("%d %s=%s\n", n, key, value)
}

// pax is an extended header of the records, KEY, VALUE, ...
func pax(records ...string) raw {
	var b strings.Builder
	for i := 0; i < len(records); i += 2 {
		b.WriteString(paxRecord(records[i], records[i+1]))
	}
	return raw{name: "PaxHeaders/x", kind: 'x', data: b.String()}
}

// base256 is n in two's complement, size bytes, the first bit set.
func base256(n int64, size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(n >> 63)
	}
	binary.BigEndian.PutUint64(b[size-8:], uint64(n))
	if size == 8 {
		binary.BigEndian.PutUint64(b, uint64(n))
	}
	b[0] |= 0x80
	return string(b)
}
