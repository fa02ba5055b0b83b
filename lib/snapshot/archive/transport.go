package archive

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/zeebo/blake3"
)

// Transport is the name of the hash of a member, as inventories have it.
const Transport = "msb-archive-member-blake3-v1"

// Sum computes the hash of a member.
type Sum struct{ h *blake3.Hasher }

// NewSum begins the hash of m, which is of the kind. Its stored data is written to it.
func NewSum(kind string, m *Member) *Sum {
	b := []byte(Transport + "\x00")
	for _, s := range []string{kind, m.Name} {
		b = append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
	}
	for _, n := range []int64{m.Stored, m.Size, int64(len(m.Runs))} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	h := blake3.New()
	h.Write(b)
	for _, r := range m.Runs {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], uint64(r.Off))
		binary.LittleEndian.PutUint64(b[8:], uint64(r.Len))
		h.Write(b[:])
	}
	return &Sum{h}
}

// Write adds data. It never fails.
func (s *Sum) Write(p []byte) (int, error) { return s.h.Write(p) }

// Digest returns "blake3:" and the hash in hex.
func (s *Sum) Digest() string { return "blake3:" + hex.EncodeToString(s.h.Sum(nil)) }
