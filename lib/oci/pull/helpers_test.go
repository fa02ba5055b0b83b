package pull

import (
	"bytes"
	"context"
	"testing"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/registry"
)

var ctx = context.Background()

// linux is what tests choose unless they say otherwise, on any host.
var linux = Options{Image: oci.Options{Platform: "linux/amd64"}, Registry: registry.Options{Retries: -1}}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// check compares the layers of img with those that it was made from.
func check(t testing.TB, ti ocitest.Image, img *Image) {
	t.Helper()
	if len(img.Layers) != len(ti.Layers) || img.Platform != ti.Platform.String() {
		t.Fatalf("%d layers for %s, want %d for %s", len(img.Layers), img.Platform, len(ti.Layers), ti.Platform)
	}
	for i := range img.Layers {
		data, err := ocitest.Content(img.Layers[i].Open)
		must(t, err)
		if !bytes.Equal(data, ocitest.Compress(t, ti.Compression, ti.Layers[i])) {
			t.Errorf("layer %d differs", i)
		}
	}
}
