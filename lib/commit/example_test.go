package commit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"

	"ocipipe/lib/commit"
	"ocipipe/lib/oci"
	"ocipipe/lib/platform"
)

// An image of one layer that runs a program, as an OCI archive.
func Example() {
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "srv", Mode: 0o755})
	w.Close()

	ctx := context.Background()
	added, err := commit.Take(ctx, &data, commit.TakeOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer added.Close()
	img, err := commit.Build(ctx, nil, []*commit.Layer{added}, commit.Options{
		Platform: platform.Platform{OS: "linux", Architecture: "amd64"},
		Change:   commit.Change{Entrypoint: &[]string{"/srv"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(img.Layers), img.Platform, oci.WriteArchive(ctx, io.Discard, img))
	// Output: 1 linux/amd64 <nil>
}
