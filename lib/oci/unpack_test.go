package oci

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"ocipipe/lib/compression"
	"ocipipe/lib/oci/ocitest"
)

// TestUnreadCompression names what an archive, or a layer in one, is compressed with.
func TestUnreadCompression(t *testing.T) {
	const xz = "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46"
	refused := func(what string, err error) {
		t.Helper()
		var unread *compression.Error
		if !errors.As(err, &unread) || unread.Name != "xz" {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := OpenArchive(context.Background(), io.NopCloser(bytes.NewReader([]byte(xz))), Options{})
	refused("archive", err)
	_, err = (&dockerBlobs{}).unpack(t.Context(), bufio.NewReader(bytes.NewReader([]byte(xz))))
	refused("layer", err)
}

// TestUnpackEnds: unpacking a layer, which may be long, ends with its context.
func TestUnpackEnds(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	data := ocitest.Compress(t, "gzip", make([]byte, 1<<20))
	p, err := (&dockerBlobs{limit: 1 << 30, tmpDir: t.TempDir()}).unpack(ended, bufio.NewReader(bytes.NewReader(data)))
	if p.spool != nil {
		p.spool.Close()
	}
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrCorrupt) {
		t.Errorf("%d bytes, %v", p.size, err)
	}
}
