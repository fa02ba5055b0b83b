package form06

import (
	"fmt"

	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// EncodeIntegrity returns the record of an integrity, null for nil. Form 0.7 has the same.
func EncodeIntegrity(s *integrity.Sum) *strictjson.Value {
	if s == nil {
		return strictjson.Text(nil)
	}
	v := strictjson.Record().Set("algorithm", strictjson.Str(s.Algorithm))
	if s.Algorithm != integrity.Merkle {
		return v.Set("digest", strictjson.Str(s.Digest))
	}
	return v.Set("root", strictjson.Str(s.Digest)).
		Set("logical_size", strictjson.Int(s.Size)).
		Set("leaf_size", strictjson.Int(integrity.LeafSize))
}

// DecodeIntegrity reads the record of the integrity of a file of size bytes; nil is null.
func DecodeIntegrity(v *strictjson.Value, size int64) (*integrity.Sum, error) {
	const where = "integrity"
	if v.Kind == strictjson.Null {
		return nil, nil
	}
	r, s := reader{}, &integrity.Sum{Size: size}
	if a := v.Get("algorithm"); a != nil {
		s.Algorithm = r.Text(a, where+".algorithm")
	}
	if s.Algorithm == integrity.Merkle {
		if f := r.Fields(v, where, "algorithm", "root", "logical_size", "leaf_size"); f != nil {
			s.Digest, s.Size = r.Text(f[1], where+".root"), r.Int(f[2], where+".logical_size")
			if r.Int(f[3], where+".leaf_size") != integrity.LeafSize {
				r.Keep(v.Fault(where, "leaf_size is not %d", integrity.LeafSize))
			}
		}
	} else if f := r.Fields(v, where, "algorithm", "digest"); f != nil {
		s.Digest = r.Text(f[1], where+".digest")
	}
	if r.Err == nil {
		if err := s.Check(); err != nil {
			r.Err = fmt.Errorf("byte %d: %s: %w", v.Offset, where, err)
		}
	}
	return s, r.Err
}
