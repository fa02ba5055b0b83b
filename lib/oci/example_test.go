package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
)

// Open an image layout, read its layers, and write it as an archive. The same works for
// the archives of skopeo, podman and docker, from files and from pipes.
func Example() {
	ctx := context.Background()
	dir := demoLayout()
	defer os.RemoveAll(dir)

	img, err := oci.Open(ctx, "oci:"+dir+":v1", oci.Options{Platform: "linux/amd64"})
	if err != nil {
		log.Fatal(err)
	}
	defer img.Close()
	for i := range img.Layers {
		r, err := img.Layers[i].Open(ctx)
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r) // at the end of r its bytes are verified
		if err != nil {
			log.Fatal(err)
		}
		r.Close()
		fmt.Printf("layer %d: %d bytes, %s\n", i, n, img.Layers[i].MediaType)
	}
	var archive bytes.Buffer
	if err := oci.WriteArchive(ctx, &archive, img); err != nil {
		log.Fatal(err)
	}
	again, err := oci.OpenArchive(ctx, io.NopCloser(&archive), oci.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	fmt.Println("the same image:", again.Digest == img.Digest)
	if err := again.Drain(ctx); err != nil { // the archive is not cut short
		log.Fatal(err)
	}
	// Output:
	// layer 0: 2048 bytes, application/vnd.oci.image.layer.v1.tar
	// layer 1: 2048 bytes, application/vnd.oci.image.layer.v1.tar
	// the same image: true
}

// demoLayout writes a layout of an image of two layers to a directory.
func demoLayout() string {
	dir, err := os.MkdirTemp("", "layout")
	if err != nil {
		log.Fatal(err)
	}
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, data, 0o666)); err != nil {
			log.Fatal(err)
		}
	}
	blob := func(mediaType types.MediaType, data []byte) manifest.Descriptor {
		d := manifest.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		write(layout.BlobName(d.Digest), data)
		return d
	}
	a, b := blob(types.OCIUncompressedLayer, tarOf("hello")), blob(types.OCIUncompressedLayer, tarOf("world"))
	config := blob(types.OCIConfigJSON, fmt.Appendf(nil,
		`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q,%q]}}`, a.Digest, b.Digest))
	m := blob(types.OCIManifestSchema1, manifest.Encode(manifest.Document{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: &config, Layers: []manifest.Descriptor{a, b},
	}))
	m.Annotations = map[string]string{manifest.RefName: "v1"}
	write(layout.File, []byte(layout.FileContent))
	write(layout.Index, manifest.Encode(manifest.Document{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []manifest.Descriptor{m},
	}))
	return dir
}

// tarOf is a tar of one file.
func tarOf(name string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(name))})
	io.WriteString(w, name)
	w.Close()
	return b.Bytes()
}
