package oci

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"ocipipe/lib/compression"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/reftest"
)

// fuzzSeeds are archives of every kind.
func fuzzSeeds(t testing.TB) [][]byte {
	ti := ocitest.Simple(t)
	nested := ocitest.NewPack()
	d := nested.Image(t, ti)
	inner := nested.JSON("", manifest.Document{SchemaVersion: 2, Manifests: []manifest.Descriptor{d}})
	nested.Index(inner)
	sha512 := ti
	sha512.Algorithm, sha512.Docker = "sha512", true
	p512 := ocitest.NewPack()
	p512.Index(p512.Image(t, sha512))
	return [][]byte{
		ours(t, ti),
		nested.Tar(t),
		p512.Tar(t),
		ocitest.NewPack().DockerSave(t, ti, "x:y").Tar(t),
		skopeoSave(ocitest.NewPack(), t, ti, ".tar", "x:y").Tar(t),
		ocitest.Compress(t, "gzip", ours(t, ti)),
		ocitest.Compress(t, "zstd", ocitest.NewPack().DockerSave(t, ti, "x:y").Tar(t)),
	}
}

var fuzzOptions = Options{Platform: "linux/amd64", MaxMetadata: 1 << 16, MaxLayer: 1 << 20}

// FuzzArchive reads an archive from a pipe and in place. Neither may panic or hang. An
// archive that is accepted must be the same in both ways, and again after it was written.
func FuzzArchive(f *testing.F) {
	for _, seed := range fuzzSeeds(f) {
		if _, err := rewrite(fuzzPiped(seed)); err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reftest.Partly(t, false, func() (reftest.Next, error) { return layersOf(data) }) // only what is read is verified
		piped, err := rewrite(fuzzPiped(data))
		if compression.IsPlain(data) {
			placed, perr := rewrite(indexArchive(bytes.NewReader(data), int64(len(data)), io.NopCloser(nil)))
			if (err == nil) != (perr == nil) {
				t.Fatalf("from a pipe: %v, in place: %v", err, perr)
			}
			if err == nil && !bytes.Equal(piped, placed) {
				t.Error("another image from a pipe than in place")
			}
		}
		if err != nil {
			return
		}
		again, err := rewrite(fuzzPiped(piped))
		must(t, err)
		if !bytes.Equal(again, piped) {
			t.Error("what was written reads as another image")
		}
	})
}

func fuzzPiped(data []byte) (*archive, error) {
	return spoolArchive(io.NopCloser(bytes.NewReader(data)), "")
}

// layersOf opens an archive from a pipe, and shows its layers.
func layersOf(data []byte) (reftest.Next, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	img, err := OpenArchive(ctx, io.NopCloser(bytes.NewReader(data)), fuzzOptions)
	if err != nil {
		cancel()
		return nil, err
	}
	i := 0
	return func() (string, io.WriterTo, error) {
		if i == len(img.Layers) {
			err := img.Drain(ctx)
			img.Close()
			cancel()
			return "", nil, cmp.Or(err, io.EOF)
		}
		l := &img.Layers[i]
		i++
		return fmt.Sprint(l.Digest, l.Size, l.DiffID), layerContent{ctx, l}, nil
	}, nil
}

type layerContent struct {
	ctx context.Context
	*Layer
}

func (l layerContent) WriteTo(w io.Writer) (int64, error) {
	r, err := l.Open(l.ctx)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(w, r)
}

// rewrite opens an archive and writes what it holds.
func rewrite(a *archive, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	img, err := openContent(ctx, a, selector{}, fuzzOptions)
	if err != nil {
		return nil, err
	}
	img.closers = append(img.closers, a)
	defer img.Close()
	var buf bytes.Buffer
	err = WriteArchive(ctx, &buf, img)
	return buf.Bytes(), err
}

// FuzzLayout takes the entries of a tar as the files of a layout.
func FuzzLayout(f *testing.F) {
	for i, seed := range fuzzSeeds(f)[:3] {
		if err := readLayout(seed); err != nil {
			f.Fatal(i, err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) { readLayout(data) })
}

func readLayout(data []byte) error {
	p := ocitest.NewPack()
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if err != nil {
			break
		}
		if content, err := io.ReadAll(io.LimitReader(tr, 1<<20)); err == nil && h.Typeflag == tar.TypeReg {
			p.Add(cleanName(h.Name), content)
		}
	}
	img, err := openLayout(ctx, packed{p}, selector{}, fuzzOptions)
	if err != nil {
		return err
	}
	defer img.Close()
	return WriteArchive(ctx, io.Discard, img)
}

// packed is a layout in memory.
type packed struct{ *ocitest.Pack }

func (p packed) open(_ context.Context, name string) (io.ReadCloser, int64, error) {
	data, ok := p.Files[name]
	if !ok {
		return nil, 0, ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}
