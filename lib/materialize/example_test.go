package materialize_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"ocipipe/lib/cas"
	"ocipipe/lib/materialize"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/reftest/registry"
)

// Make the disk of an image, twice: the second time the cache has it all.
func Example() {
	ctx := context.Background()
	server, err := registry.Start(registry.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.AddImage("app", "v1", layerWith("bin"), layerWith("srv"))

	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cache, err := cas.Open(ctx, dir, cas.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		r, err := materialize.Materialize(ctx, materialize.Options{
			Ref:    server.Host + "/app:v1",
			Pull:   pull.Options{Cache: cache},
			Target: materialize.All,
			Jobs:   2,
			Progress: func(e materialize.Event) {
				if e.Stage == materialize.StageFlat && e.Kind == pull.EventStarted {
					fmt.Println("the flat image comes last")
				}
			},
		})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := os.Stat(r.VMDK.Path); err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(r.Layers), "layers, disk of", r.VMDK.DiskSize, "bytes, root of", r.Flat.Size, "- hit:", r.Hit)
	}
	// Output:
	// the flat image comes last
	// 2 layers, disk of 12288 bytes, root of 4096 - hit: false
	// the flat image comes last
	// 2 layers, disk of 12288 bytes, root of 4096 - hit: true
}

// layerWith is a layer with one directory.
func layerWith(name string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return b.Bytes()
}
