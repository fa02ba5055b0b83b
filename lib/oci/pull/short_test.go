package pull

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/ocitest"
	fake "ocipipe/lib/reftest/registry"
)

// TestShrunkCache: a blob of the cache that is truncated while it is read is not taken for
// complete.
func TestShrunkCache(t *testing.T) {
	p := newPuller(t)
	d := p.AddImage("r", "v1", fake.Layer(1, 300_000)).Layers[0]
	p.want("r:v1")
	for _, read := range []func(r io.Reader) error{
		func(r io.Reader) error { _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); return err },
		func(r io.Reader) error { _, err := r.(io.WriterTo).WriteTo(io.Discard); return err },
	} {
		img, err := p.open(ctx, "r:v1", cas.Options{})
		must(t, err)
		defer img.Close()
		r, err := img.Layers[0].Open(ctx)
		must(t, err)
		defer r.Close()
		must(t, os.Truncate(filepath.Join(p.dir, "blobs", strings.Replace(d, ":", "/", 1)), 1000))
		if err := read(r); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "layer 0: ") {
			t.Errorf("%v", err)
		}
		p.want("r:v1")
	}
}

// TestEndlessStream: even if nothing can be kept, a reader gets no more bytes than the
// manifest says.
func TestEndlessStream(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to mount")
	}
	tmp := t.TempDir()
	must(t, unix.Mount("tmpfs", tmp, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(tmp, unix.MNT_DETACH) })
	ti := ocitest.Image{Platform: ocitest.AMD64, Layers: [][]byte{ocitest.Layer(t, "a", strings.Repeat("x", 5<<20))}}
	p := ocitest.NewPack()
	host := fakeRegistry(t, p, p.Image(t, ti), func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, digest.FromBytes(ti.Layers[0]).String()) {
			return false
		}
		for range 20 { // in chunks, without a length
			if _, err := w.Write(ti.Layers[0]); err != nil {
				break
			}
		}
		return true
	})
	opts := linux
	opts.Image.TmpDir = tmp
	img, err := Open(ctx, host+"/r:v1", opts)
	must(t, err)
	defer img.Close()
	must(t, img.Prefetch())
	r, err := img.Layers[0].Open(ctx)
	must(t, err)
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if n > int64(len(ti.Layers[0])) || !errors.Is(err, oci.ErrCorrupt) {
		t.Errorf("%d bytes of %d, %v", n, len(ti.Layers[0]), err)
	}
}
