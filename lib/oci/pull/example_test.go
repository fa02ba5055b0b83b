package pull_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/oci/registry"
	fake "ocipipe/lib/reftest/registry"
)

// Example pulls an image twice; the second time it comes from the cache.
func Example() {
	ctx := context.Background()
	server, err := fake.Start(fake.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.AddImage("library/example", "v1", layerWith("hello"), layerWith("world"))

	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cache, err := cas.Open(ctx, dir, cas.Options{})
	if err != nil {
		log.Fatal(err)
	}
	opts := pull.Options{
		Cache:    cache,
		Jobs:     2,
		Registry: registry.Options{Retries: 3},
		Progress: func(e pull.Event) {
			switch e.Kind {
			case pull.EventQueued:
				fmt.Printf("layer %d: %d bytes\n", e.Layer, e.Total)
			case pull.EventCached:
				fmt.Printf("layer %d: in the cache\n", e.Layer)
			}
		},
	}
	for range 2 {
		img, err := pull.Open(ctx, server.Host+"/library/example:v1", opts)
		if err != nil {
			log.Fatal(err)
		}
		if err := img.Prefetch(); err != nil {
			log.Fatal(err)
		}
		for i := range img.Layers {
			r, err := img.Layers[i].Open(ctx)
			if err != nil {
				log.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil { // only now it is verified
				log.Fatal(err)
			}
			r.Close()
		}
		img.Record(ctx)
		img.Close()
	}
	// Unordered output:
	// layer 0: 2048 bytes
	// layer 1: 2048 bytes
	// layer 0: 2048 bytes
	// layer 0: in the cache
	// layer 1: 2048 bytes
	// layer 1: in the cache
}

// layerWith is a layer of one file.
func layerWith(content string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: content, Mode: 0o644, Size: int64(len(content))})
	io.WriteString(w, content)
	w.Close()
	return b.Bytes()
}
