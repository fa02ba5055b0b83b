package form06

import (
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// EncodeIntegrity returns the record of an integrity, null for nil. Form 0.7 has the same.
func EncodeIntegrity(s *integrity.Sum) *strictjson.Value { return encodeIntegrity(s) }

// DecodeIntegrity reads the record of the integrity of a file of size bytes.
func DecodeIntegrity(v *strictjson.Value, size int64) (*integrity.Sum, error) {
	r := reader{}
	s := r.integrity(v, size)
	return s, r.err
}
