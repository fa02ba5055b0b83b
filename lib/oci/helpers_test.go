package oci

import (
	"bytes"
	"context"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/ocitest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents reads every layer of img.
func contents(img *Image) ([][]byte, error) {
	var all [][]byte
	for i := range img.Layers {
		data, err := ocitest.Content(img.Layers[i].Open)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// check compares img with what it was made from.
func check(t testing.TB, ti ocitest.Image, img *Image) {
	t.Helper()
	got, err := contents(img)
	must(t, err)
	must(t, img.Drain(context.Background()))
	if len(got) != len(ti.Layers) {
		t.Fatalf("%d layers, want %d", len(got), len(ti.Layers))
	}
	for i, data := range ti.Layers {
		if !bytes.Equal(got[i], ocitest.Compress(t, ti.Compression, data)) {
			t.Errorf("layer %d differs", i)
		}
		l := img.Layers[i]
		if l.DiffID != digest.FromBytes(data) || l.Index != i || l.Size != int64(len(got[i])) || l.Digest.Algorithm().FromBytes(got[i]) != l.Digest {
			t.Errorf("layer %d: wrong attributes: %+v", i, l)
		}
	}
	if img.Digest.Algorithm().FromBytes(img.Manifest) != img.Digest || img.ConfigDigest.Algorithm().FromBytes(img.Config) != img.ConfigDigest {
		t.Error("digest of manifest or configuration is wrong")
	}
	if img.Platform != ti.Platform.String() {
		t.Errorf("platform is %s, want %s", img.Platform, ti.Platform)
	}
}
