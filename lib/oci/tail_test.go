package oci

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ocipipe/lib/blockio"
	"ocipipe/lib/oci/manifest"

	"github.com/opencontainers/go-digest"
)

// blobSource is a source with one layer, which lies in a file. If takes is set, the blob is
// copied by TakeFrom, as from a cache.
type blobSource struct {
	Source
	path  string
	takes bool
}

func (s blobSource) Layer(_ context.Context, _ int, d manifest.Descriptor) (io.ReadCloser, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	if s.takes {
		return takenBlob{f, d.Size}, nil
	}
	return Verify(f, d), nil
}

type takenBlob struct {
	*os.File
	size int64
}

func (b takenBlob) WriteTo(w io.Writer) (int64, error) {
	done := blockio.TakeFrom(w, b.File, 0, b.size)
	n, err := io.Copy(struct{ io.Writer }{w}, io.NewSectionReader(b.File, done, b.size-done))
	return done + n, err
}

// taker is a buffer that takes bytes of files.
type taker struct {
	bytes.Buffer
	taken int64
}

func (t *taker) TakeFrom(f *os.File, off, n int64) int64 {
	done, _ := io.Copy(&t.Buffer, io.NewSectionReader(f, off, n))
	t.taken += done
	return done
}

// TestHeldBack: WriteLayer writes a layer of any length as it is, and of one that is not the
// right one all but the last tailSize bytes.
func TestHeldBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blob")
	for _, size := range []int{0, 1, tailSize - 1, tailSize, tailSize + 1, 5*tailSize + 1} {
		blob := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
		must(t, os.WriteFile(path, blob, 0o600))
		img := func(d digest.Digest, takes bool) *Image {
			desc := manifest.Descriptor{Digest: d, Size: int64(size)}
			return &Image{Layers: []Layer{{Digest: d, Size: desc.Size, desc: desc, source: blobSource{path: path, takes: takes}}}}
		}
		for _, takes := range []bool{false, true} {
			var out taker
			err := WriteLayer(t.Context(), &out, img(digest.FromBytes(blob), takes), "0")
			if err != nil || !bytes.Equal(out.Bytes(), blob) {
				t.Errorf("%d bytes, taken %t: %d were written, %v", size, takes, out.Len(), err)
			}
			if want := int64(max(size-tailSize, 0)); takes && out.taken != want {
				t.Errorf("%d of %d bytes were taken from the file, want %d", out.taken, size, want)
			}
		}
		var out bytes.Buffer
		err := WriteLayer(t.Context(), &out, img(digest.FromString("other"), false), "0")
		if n := max(size-tailSize, 0); err == nil || !bytes.Equal(out.Bytes(), blob[:n]) {
			t.Errorf("%d bytes of another layer: %d were written, want %d: %v", size, out.Len(), n, err)
		}
	}
}

// TestHeldBackFull: the error of a full disk is not lost, wherever it comes.
func TestHeldBackFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blob")
	blob := bytes.Repeat([]byte("x"), 2*tailSize)
	must(t, os.WriteFile(path, blob, 0o600))
	d := digest.FromBytes(blob)
	desc := manifest.Descriptor{Digest: d, Size: int64(len(blob))}
	img := &Image{Layers: []Layer{{Digest: d, Size: desc.Size, desc: desc, source: blobSource{path: path}}}}
	for _, room := range []int{0, tailSize - 1, tailSize, len(blob) - 1} {
		if err := WriteLayer(t.Context(), &limited{room}, img, "0"); err != io.ErrShortWrite {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

// limited is a writer with room for so many bytes.
type limited struct{ room int }

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.room)
	if l.room -= n; n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
