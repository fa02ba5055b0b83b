package lib_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/input"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/reftest/registry"
	"ocipipe/lib/tree"
)

// convert fetches the image ref and writes the tree that its layers make to path, as an
// EROFS image.
func convert(ctx context.Context, ref, path string) error { // pull is ocipipe/lib/oci/pull
	img, err := pull.Open(ctx, ref, pull.Options{}) // an oci:DIR, or a name in a registry
	if err != nil {
		return err
	}
	defer img.Close()
	src, _, err := input.OfImage(img.Image, input.Options{}).Merge(ctx, "", layer.LoadOptions{})
	if err != nil {
		return err
	}
	defer src.Close()
	out, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer out.Close() // leaves path as it was, unless Commit has succeeded
	w, err := erofs.NewWriter(ctx, out, erofs.Options{})
	if err != nil {
		return err
	}
	if err := tree.Copy(ctx, w, src); err != nil {
		return err
	}
	return out.Commit()
}

// Fetch an image of two layers, merge them and write an EROFS image.
func Example() {
	server, err := registry.Start(registry.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.AddImage("library/example", "v1", tarOf("etc/hostname", "etc/motd"), tarOf("etc/.wh.motd", "init"))
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	path := filepath.Join(dir, "rootfs.erofs")
	if err := convert(context.Background(), server.Host+"/library/example:v1", path); err != nil {
		log.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	image, err := read.Open(f, info.Size())
	if err != nil {
		log.Fatal(err)
	}
	src := image.Source()
	defer src.Close()
	for {
		e, err := src.Next()
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

// tarOf is a layer of files that hold their names.
func tarOf(names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(name))})
		io.WriteString(w, name)
	}
	w.Close()
	return b.Bytes()
}

// TestReadme finds in README.md the function that Example runs.
func TestReadme(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(readme), "\n"); n >= 200 {
		t.Errorf("README.md has %d lines; details belong into the man pages", n)
	}
	_, function, _ := strings.Cut(string(source), "\nfunc convert(")
	function, _, _ = strings.Cut(function, "\n}\n")
	var block strings.Builder
	for line := range strings.Lines("func convert(" + function + "\n}\n") {
		if line = strings.ReplaceAll(line, "\t", "    "); line != "\n" {
			line = "    " + line
		}
		block.WriteString(line)
	}
	if !strings.Contains(string(readme), block.String()) {
		t.Errorf("README.md has another program than:\n%s", block.String())
	}
}
