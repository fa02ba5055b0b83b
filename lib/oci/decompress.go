package oci

import (
	"bufio"
	"context"
	"io"

	"ocipipe/lib/compression"
	"ocipipe/lib/gunzip"
	"ocipipe/lib/unzstd"
)

// decompress undoes gzip and zstd; anything else passes as it is, but for what is
// known as compressed and not read. done frees the decoder. It waits until ctx is done for
// the window, if it needs that; nil is one of its own.
func decompress(ctx context.Context, r *bufio.Reader, window *unzstd.Window) (plain io.Reader, done func(), err error) {
	head, err := r.Peek(compression.HeadSize)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	kind, err := compression.Detect(head)
	if err != nil {
		return nil, nil, err
	}
	switch kind {
	case compression.Gzip:
		return gunzip.NewReader(r), func() {}, nil
	case compression.Zstd:
		z := unzstd.NewReader(ctx, r, window)
		return z, func() { z.Close() }, nil
	}
	return r, func() {}, nil
}

// isPlain reports whether what begins with head can be read as it is.
func isPlain(head []byte) bool {
	kind, err := compression.Detect(head)
	return err == nil && kind == compression.Plain
}
