package input_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"ocipipe/lib/input"
	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// Open whatever the first path leads to, with a layer above it, and write the tree that
// they make together as a tree stream. The first could as well be the archive or the
// layout of an image, compressed or not, or a pipe.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "input")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	base, upper := filepath.Join(dir, "base.tar"), filepath.Join(dir, "upper.tar")
	writeTar(base, "etc/hostname", "etc/motd")
	writeTar(upper, "etc/.wh.motd", "init")

	set, err := input.Open(ctx, []string{base, upper}, input.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	src, props, err := set.Merge(ctx, "", layer.LoadOptions{SpoolDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	var stream bytes.Buffer
	if err := tree.Copy(ctx, tree.NewWriter(&stream, tree.WriterOptions{Props: props}), src); err != nil {
		log.Fatal(err)
	}

	r, err := tree.NewReader(&stream, tree.ReaderOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Path)
	}
	// Output:
	// .
	// etc
	// etc/hostname
	// init
}

// writeTar writes a tar of files that hold their names.
func writeTar(path string, names ...string) {
	f, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, name := range names {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(name))})
		io.WriteString(w, name)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
}
