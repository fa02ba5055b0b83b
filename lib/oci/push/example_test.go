package push_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/push"
	fake "ocipipe/lib/reftest/registry"
)

// Example pushes an image from a layout, and then again: the registry has all of it.
func Example() {
	ctx := context.Background()
	server, err := fake.Start(fake.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Behave(fake.Behaviour{Push: true})
	tmp, err := os.MkdirTemp("", "layout")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	layout := filepath.Join(tmp, "layout")
	images := fake.New()
	images.AddImage("any", "v1", fake.Layer(1, 100), fake.Layer(2, 5_000_000))
	if err := images.WriteLayout(layout); err != nil {
		log.Fatal(err)
	}

	opts := push.Options{
		Jobs: 1, // for the order of what is printed
		Tags: []string{"latest"},
		Progress: func(e push.Event) {
			switch e.Kind {
			case push.EventThere:
				fmt.Printf("layer %d is there\n", e.Layer)
			case push.EventDone:
				fmt.Printf("layer %d is uploaded\n", e.Layer)
			}
		},
	}
	for range 2 {
		b, err := oci.OpenBundle(ctx, "oci:"+layout+":v1", oci.Options{})
		if err != nil {
			log.Fatal(err)
		}
		done, err := push.Push(ctx, b, server.Host+"/me/app:v1", opts)
		if err != nil {
			log.Fatal(err)
		}
		b.Close()
		fmt.Println(strings.TrimPrefix(done.Repository, server.Host), done.Digest == b.Root.Digest, done.Tags)
	}
	// Output:
	// layer -1 is uploaded
	// layer 0 is uploaded
	// layer 1 is uploaded
	// /me/app true [v1 latest]
	// layer -1 is there
	// layer 0 is there
	// layer 1 is there
	// /me/app true [v1 latest]
}
