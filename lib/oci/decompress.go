package oci

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/gunzip"
)

// zstdMaxWindow bounds the memory of a decoder; zstd --ultra --long=27 needs it.
const zstdMaxWindow = 128 << 20

// decompress recognises gzip and zstd by their first bytes and undoes them, and
// refuses bzip2 and xz; anything else passes as it is. done frees the decoder.
func decompress(r *bufio.Reader) (plain io.Reader, done func(), err error) {
	magic, err := r.Peek(magicSize)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case isGzip(magic):
		return gunzip.NewReader(r), func() {}, nil
	case isZstd(magic):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdMaxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	if tool := unpacker(magic); tool != "" {
		return nil, nil, fmt.Errorf("%w: %s compression; %s -dc unpacks it", ErrUnsupported, tool, tool)
	}
	return r, func() {}, nil
}

// magicSize is how many bytes tell a compression.
const magicSize = 6

// isPacked reports whether what begins with b is compressed.
func isPacked(b []byte) bool { return isGzip(b) || isZstd(b) || unpacker(b) != "" }

// unpacker names the tool for a compression that is known and not read, or "".
func unpacker(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("BZh")):
		return "bzip2"
	case bytes.HasPrefix(b, []byte("\xfd7zXZ\x00")):
		return "xz"
	}
	return ""
}

func isGzip(b []byte) bool { return bytes.HasPrefix(b, []byte{0x1f, 0x8b, 8}) }

// isZstd knows ordinary frames and those that a decoder skips.
func isZstd(b []byte) bool {
	return bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(b) >= 4 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18
}
