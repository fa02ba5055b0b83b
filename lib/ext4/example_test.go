package ext4_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

// Two entries become a file system, which is read again.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "root.ext4"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	w, err := ext4.NewWriter(context.Background(), f, ext4.Options{Shrink: true, Label: "root"})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range []*tree.Entry{
		{Path: "etc", Type: tree.Dir, Mode: 0o755},
		{Path: "etc/motd", Type: tree.File, Mode: 0o644, Size: 6, Content: strings.NewReader("hello\n")},
	} {
		if err := w.Add(e); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		log.Fatal(err)
	}
	img, err := read.Open(f, size)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("label", img.Label())
	for src := img.Source(); ; {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %04o %s\n", e.Type, e.Mode, e.Path)
		if e.Content != nil {
			if _, err := e.Content.WriteTo(os.Stdout); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// label root
	// dir 0755 .
	// dir 0755 etc
	// file 0644 etc/motd
	// hello
}
