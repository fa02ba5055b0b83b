package erofs_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

// A tree of two entries becomes an image, and is read back.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "rootfs.erofs"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	w, err := erofs.NewWriter(ctx, f, erofs.Options{Label: "rootfs"})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range []tree.Entry{
		{Path: "etc", Type: tree.Dir, Mode: 0o755},
		{Path: "etc/hostname", Type: tree.File, Mode: 0o644, Size: 4, Content: tree.Bytes("vm1\n")},
	} {
		if err := w.Add(&e); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	fi, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	img, err := read.Open(f, fi.Size())
	if err != nil {
		log.Fatal(err)
	}
	src := img.Source()
	defer src.Close()
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %#o %s\n", e.Type, e.Mode, e.Path)
		if e.Content != nil {
			if _, err := e.Content.WriteTo(os.Stdout); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// dir 0755 .
	// dir 0755 etc
	// file 0644 etc/hostname
	// vm1
}
