package journal

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestJournalRecords(t *testing.T) {
	if n := binary.Size(Super{}); n != SuperSize {
		t.Errorf("the superblock has %d bytes, not %d", n, SuperSize)
	}
	b := make([]byte, SuperSize)
	for i := range b {
		b[i] = byte(i * 7)
	}
	var s Super
	s.Decode(b)
	s.Incompat = 0
	clear(b[0x28:0x2C])
	clear(b[sumOffset:][:4])
	again := make([]byte, SuperSize)
	if s.Encode(again); !bytes.Equal(b, again) {
		t.Error("decoded and encoded it is another one")
	}
	s = Super{Magic: Magic, Type: KindSuperV2, BlockSize: 4096, Length: 16384, First: 1, Sequence: 1, Incompat: 0x12, Users: 1, SumType: SumCRC32C}
	if s.Encode(b); s.Sum != 0xA70403DF || binary.BigEndian.Uint32(b[sumOffset:]) != s.Sum || superSum(b) != s.Sum {
		t.Errorf("checksum %08x", s.Sum)
	}
	if f := s.Form(); f.seed != 0xBD8F6515 || f.Sums != 3 || !f.Wide {
		t.Errorf("form %+v", f)
	}
	if sum := crc32BE(^uint32(0), []byte("123456789")); sum != 0x0376E6E7 { // CRC-32/MPEG-2
		t.Errorf("CRC with its highest bit first: %08x", sum)
	}
}
