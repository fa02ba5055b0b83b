package oci_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/ocitest"
)

// TestWriteDocker: layers that are packed, too large, not what the image says, or damaged.
func TestWriteDocker(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		change func(img *oci.Image, dir string)
		max    int64
		want   string // in the error; "" for none
	}{
		"as it is":        {max: 10_000},
		"a bomb":          {max: 1000, want: "layer 0: unsupported image: unpacks to more than 1000 bytes"},
		"another diff-id": {func(img *oci.Image, _ string) { img.Layers[1].DiffID = digest.FromString("x") }, 0, "layer 1: corrupt image: diff-id "},
		"a damaged blob": {func(img *oci.Image, dir string) {
			name := filepath.Join(dir, "blobs/sha256", img.Layers[1].Digest.Encoded())
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)-1] ^= 1 // of the length that gzip notes
			if err := os.WriteFile(name, data, 0o666); err != nil {
				t.Fatal(err)
			}
		}, 0, "layer 1: corrupt image: "},
	} {
		ti := ocitest.Simple(t)
		p, tmp := ocitest.NewPack(), t.TempDir()
		p.Index(ocitest.Named(p.Image(t, ti), "v1"))
		dir := p.Dir(t)
		img, err := oci.Open(ctx, "oci:"+dir, oci.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			c.change(img, dir)
		}
		var out bytes.Buffer
		err = oci.WriteDocker(ctx, &out, img, []string{"a:v1"}, oci.Options{TmpDir: tmp, MaxLayer: c.max})
		img.Close()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if limit := (*oci.LimitError)(nil); errors.As(err, &limit) != (name == "a bomb") {
			t.Errorf("%s: %v", name, err)
		}
		got, oerr := oci.OpenArchive(ctx, io.NopCloser(&out), oci.Options{})
		if (oerr == nil) != (err == nil) {
			t.Errorf("%s: what was written: %v", name, oerr)
		}
		if oerr == nil {
			got.Close()
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("%s: %v left, %v", name, left, err)
		}
	}
}
