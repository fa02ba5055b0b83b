package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fuzzSeeds are archives of every kind.
func fuzzSeeds(t testing.TB) [][]byte {
	ti := simple(t)
	nested := newPack()
	d := nested.image(t, ti)
	inner := nested.json("", document{SchemaVersion: 2, Manifests: []descriptor{d}})
	nested.index(inner)
	sha512 := ti
	sha512.alg, sha512.docker = "sha512", true
	p512 := newPack()
	p512.index(p512.image(t, sha512))
	return [][]byte{
		ours(t, ti),
		nested.tar(t),
		p512.tar(t),
		newPack().dockerSave(t, ti, "x:y").tar(t),
		newPack().skopeoSave(t, ti, ".tar", "x:y").tar(t),
		compressed(t, "gzip", ours(t, ti)),
		compressed(t, "zstd", newPack().dockerSave(t, ti, "x:y").tar(t)),
	}
}

var fuzzOptions = Options{Platform: "linux/amd64", MaxMetadata: 1 << 16, MaxLayer: 1 << 20}

// FuzzArchive reads an archive from a pipe and as a file. Neither may panic or
// hang, what is accepted must be the same in both ways, and must give itself
// again once written.
func FuzzArchive(f *testing.F) {
	for _, seed := range fuzzSeeds(f) {
		if _, err := rewrite(bytes.NewReader(seed)); err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	file := filepath.Join(f.TempDir(), "a")
	f.Fuzz(func(t *testing.T, data []byte) {
		piped, err := rewrite(bytes.NewReader(data))
		must(t, os.WriteFile(file, data, 0o666))
		r, ferr := os.Open(file)
		must(t, ferr)
		defer r.Close()
		placed, ferr := rewrite(r)
		if (err == nil) != (ferr == nil) {
			t.Fatalf("from a pipe: %v, from a file: %v", err, ferr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(piped, placed) {
			t.Error("another image from a pipe than from a file")
		}
		again, err := rewrite(bytes.NewReader(piped))
		must(t, err)
		if !bytes.Equal(again, piped) {
			t.Error("what was written reads as another image")
		}
	})
}

// rewrite opens an archive and writes what it holds.
func rewrite(r io.Reader) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	img, err := OpenArchive(ctx, r, fuzzOptions)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	var buf bytes.Buffer
	err = WriteArchive(ctx, &buf, img)
	return buf.Bytes(), err
}

// FuzzLayout puts the entries of a tar into a directory and reads that as a
// layout.
func FuzzLayout(f *testing.F) {
	for i, seed := range fuzzSeeds(f)[:3] {
		if err := readLayout(f, seed); err != nil {
			f.Fatal(i, err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		readLayout(t, data)
	})
}

func readLayout(t testing.TB, data []byte) error {
	dir := t.TempDir()
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if err != nil {
			break
		}
		name := cleanName(h.Name)
		if h.Typeflag != tar.TypeReg || len(name) > 200 || strings.Contains(name, "\x00") {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(tr, 1<<20))
		path := filepath.Join(dir, name)
		if err != nil || os.MkdirAll(filepath.Dir(path), 0o777) != nil {
			continue
		}
		os.WriteFile(path, content, 0o666)
	}
	img, err := OpenPath(ctx, dir, fuzzOptions)
	if err != nil {
		return err
	}
	defer img.Close()
	return WriteArchive(ctx, io.Discard, img)
}
