package cas

import (
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/layout"
	"ocipipe/lib/osfile"
)

// Spool returns a part that belongs to no cache. Its content lies in a file without a name
// in dir, or in $TMPDIR if dir is "", and vanishes with it. Commit only verifies the
// content; NewReader works until Close.
func Spool(dir string, d digest.Digest, size int64) (*Part, error) {
	f, err := atomicfile.Unnamed(dir)
	if err != nil {
		return nil, fmt.Errorf("make spool file: %w", err)
	}
	return spool(&Part{f: f, digest: d, size: size})
}

// SpoolAt is Spool, but the content lies in f from the offset off on, and stays there. f
// stays open.
func SpoolAt(f *os.File, off int64, d digest.Digest, size int64) (*Part, error) {
	own, err := osfile.Duplicate(f)
	if err != nil {
		return nil, err
	}
	return spool(&Part{f: own, base: off, lasting: true, digest: d, size: size})
}

// spool starts p, and closes its file if that fails.
func spool(p *Part) (*Part, error) {
	err := layout.CheckDigest(p.digest)
	if err == nil && p.size < 0 {
		err = fmt.Errorf("blob %s: size %d", p.digest, p.size)
	}
	if err != nil {
		p.f.Close()
		return nil, err
	}
	p.hashed, p.changed = make(chan struct{}), make(chan struct{})
	go p.hash()
	return p, nil
}

// isSpool reports whether p belongs to no cache.
func (p *Part) isSpool() bool { return p.s == nil }
