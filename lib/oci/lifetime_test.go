package oci

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/reftest"
)

// TestArchiveClosed closes archives from a pipe that goes silent: nothing is left of
// them, and nothing waits for the writer. Closing twice is harmless.
func TestArchiveClosed(t *testing.T) {
	data := ours(t, ocitest.Simple(t))
	broken := bytes.Clone(data)
	copy(broken[bytes.Index(broken, []byte(`{"schemaVersion"`)):], "{{{")
	opts := linux
	opts.TmpDir = t.TempDir()
	for name, sent := range map[string][]byte{
		"nothing": nil, "broken": broken[:len(broken)-2048], "index and a layer": data[:len(data)-2048],
		"compressed": ocitest.Compress(t, "gzip", data)[:800],
	} {
		before := reftest.RunningNow(t)
		r, w, err := os.Pipe()
		must(t, err)
		go w.Write(sent)
		waiting, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		img, err := OpenArchive(waiting, r, opts)
		if (err == nil) != (name == "index and a layer") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			must(t, img.Close())
			must(t, img.Close())
		}
		cancel()
		w.Close()
		before.Left(t)
	}
}

// TestArchiveWithoutEnd closes an archive whose input never ends, and whose input's Close
// does nothing.
func TestArchiveWithoutEnd(t *testing.T) {
	before := reftest.RunningNow(t)
	data := ours(t, ocitest.Simple(t))
	img, err := OpenArchive(ctx, io.NopCloser(io.MultiReader(bytes.NewReader(data), endless{})), linux)
	must(t, err)
	must(t, img.Close())
	before.Left(t)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
