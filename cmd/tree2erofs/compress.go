package main

import (
	"runtime"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/z"
)

// compression sets the options about that.
func (t *tool) compression(opts *erofs.Options) error {
	m, err := erofs.ParseMethod(t.Compress)
	if err != nil {
		return err
	}
	if m.Algorithm != z.Raw {
		opts.Compression = &erofs.Compression{Method: m, PCluster: t.PCluster, Encoded: t.Extents == "encoded", Workers: runtime.GOMAXPROCS(0)}
	}
	return nil
}
