package integrity

import (
	"encoding/hex"
	"strings"

	"ocipipe/lib/snapshot/fault"
)

// The algorithms.
const (
	Merkle       = "msb-file-merkle-blake3-v1"
	SparseSHA256 = "msb-sparse-sha256-v1"
	SHA256       = "sha256"
)

// Sum is the integrity of a content.
type Sum struct {
	Algorithm string
	Digest    string // "blake3:" or "sha256:" and 64 hex digits
	Size      int64  // of the content, in bytes
}

// Check returns an error if the algorithm is unknown or the digest is not one of it.
func (s *Sum) Check() error {
	prefix := "sha256:"
	switch s.Algorithm {
	case Merkle:
		prefix = "blake3:"
	case SparseSHA256, SHA256:
	default:
		return fault.Unsupported("unknown algorithm %.60q", s.Algorithm)
	}
	digits, ok := strings.CutPrefix(s.Digest, prefix)
	if _, err := hex.DecodeString(digits); !ok || err != nil || len(digits) != 64 || strings.ToLower(digits) != digits {
		return fault.Corrupt("%.80q is not a digest %s and 64 hex digits", s.Digest, prefix)
	}
	return nil
}

// Equal reports whether both are the same; either may be nil.
func (s *Sum) Equal(o *Sum) bool {
	if s == nil || o == nil {
		return s == o
	}
	return *s == *o
}
