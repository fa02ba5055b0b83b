package cas

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/atomicfile"
)

// Spool returns a part of no cache: its content lies in a file without a name in
// dir, or in $TMPDIR if that is "", and nothing outlives it. Commit only verifies;
// readers can be had until Close.
func Spool(dir string, d digest.Digest, size int64) (*Part, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("blob %s: size %d", d, size)
	}
	f, err := atomicfile.Unnamed(dir)
	if err != nil {
		return nil, fmt.Errorf("make spool file: %w", err)
	}
	p := &Part{f: f, digest: d, size: size, hashed: make(chan struct{}), changed: make(chan struct{})}
	go p.hash()
	return p, nil
}

// isSpool reports whether p belongs to no cache.
func (p *Part) isSpool() bool { return p.s == nil }
