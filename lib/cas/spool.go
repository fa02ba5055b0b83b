package cas

import (
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"
)

// Spool returns a part of no cache: its content lies in f, which is empty and
// best has no name, and nothing outlives it. Commit only verifies; readers can be
// had until Close, which closes f.
func Spool(f *os.File, d digest.Digest, size int64) (*Part, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("blob %s: size %d", d, size)
	}
	p := &Part{f: f, digest: d, size: size, hashed: make(chan struct{}), changed: make(chan struct{})}
	go p.hash()
	return p, nil
}

// isSpool reports whether p belongs to no cache.
func (p *Part) isSpool() bool { return p.s == nil }
