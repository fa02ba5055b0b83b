package oci

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/compression"
	"ocipipe/lib/gunzip"
)

// zstdMaxWindow bounds the memory of a decoder; zstd --ultra --long=27 needs it.
const zstdMaxWindow = 128 << 20

// decompress undoes gzip and zstd; anything else passes as it is, but for what is
// known as compressed and not read. done frees the decoder.
func decompress(r *bufio.Reader) (plain io.Reader, done func(), err error) {
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
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdMaxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}

// isPlain reports whether what begins with head can be read as it is.
func isPlain(head []byte) bool {
	kind, err := compression.Detect(head)
	return err == nil && kind == compression.Plain
}
