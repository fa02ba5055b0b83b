package overlay_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/layer"
	"ocipipe/lib/overlay"
	"ocipipe/lib/tree"
)

// The changes on the upper disk of an overlay become the layer of an image.
func ExampleChanges() {
	dir, err := os.MkdirTemp("", "overlay")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "upper.ext4")
	if err := makeDisk(name); err != nil {
		log.Fatal(err)
	}

	f, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	img, err := read.OpenRecovered(f, info.Size())
	if err != nil {
		log.Fatal(err)
	}
	src, err := overlay.Changes(img, overlay.Options{Warn: func(s string) { log.Print(s) }})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	out, err := os.Create(filepath.Join(dir, "layer.tar"))
	if err != nil {
		log.Fatal(err)
	}
	defer out.Close()
	w, err := layer.NewWriter(out, layer.WriterOptions{Layer: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := tree.Copy(context.Background(), w, src); err != nil {
		log.Fatal(err)
	}
	if info, err = out.Stat(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Size(), "bytes")
	// Output: 3584 bytes
}

// makeDisk makes an upper disk on which /gone was deleted and /etc/motd written.
func makeDisk(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := ext4.NewWriter(context.Background(), f, ext4.Options{Upper: true, Size: 64 << 20})
	if err != nil {
		return err
	}
	defer w.Close()
	for _, e := range []tree.Entry{
		{Path: "etc", Type: tree.Dir, Mode: 0o755},
		{Path: "etc/motd", Type: tree.File, Mode: 0o644, Size: 6, Content: tree.Bytes("hello\n")},
		{Path: "gone", Type: tree.Char},
	} {
		if err := w.Add(&e); err != nil {
			return err
		}
	}
	return w.Close()
}
