package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"ocipipe/lib/snapshot"
	"ocipipe/lib/snapshot/form06"
)

// A disk becomes an archive, which is unpacked elsewhere.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, []byte("hello"), 0o600); err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	making, err := snapshot.Create(snapshot.CreateOptions{
		Upper:  disk,
		FSType: "none", // of an ext4 file system it would look at the state
		Image:  form06.Image{Ref: "docker.io/library/alpine:3", Manifest: "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		Labels: map[string]string{"stage": "ready"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer making.Close()
	var archive bytes.Buffer
	id, err := making.WriteArchive(ctx, &archive, snapshot.ArchiveOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)

	contents, err := snapshot.Unpack(ctx, &archive, dir, snapshot.UnpackOptions{Name: "base"})
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "base", "upper.ext4"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(contents.Head == id, string(data))
	// Output:
	// sha256:40afcdd12859aae6935cc6ed0aec6587d2891336770f62ed0ee156be818fc8fc
	// true hello
}
