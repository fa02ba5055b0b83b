package pull

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci"
)

// sweep removes all blobs that nobody uses, as if nothing had a reference, and returns how
// many are left.
func (p *puller) sweep() (left int) {
	p.t.Helper()
	s, err := cas.Open(ctx, p.dir, cas.Options{})
	must(p.t, err)
	w, err := s.Sweep(ctx)
	must(p.t, err)
	defer w.End()
	files, _, err := s.Files(ctx)
	must(p.t, err)
	for _, f := range files {
		if w.InUse(f.Name) {
			left++
		} else {
			must(p.t, w.Remove(f.Name))
		}
	}
	return left
}

// TestHeld: what an open image has put into the cache, or found there, stays until it is
// closed.
func TestHeld(t *testing.T) {
	p := newPuller(t)
	p.AddImage("r", "v1", layers()...)
	for range 2 { // from the registry, then from the cache
		img, err := p.open(ctx, "r:v1", cas.Options{})
		must(t, err)
		if n := p.sweep(); n < 2 {
			t.Errorf("%d blobs are left after Open", n)
		}
		must(t, img.Prefetch())
		must(t, img.Drain(ctx))
		for i := range img.Layers {
			if err := oci.WriteLayer(ctx, discard{}, img.Image, img.Layers[i].Digest.String()); err != nil {
				t.Error(err)
			}
		}
		img.remote.waitForDownloads(ctx)
		if n := p.sweep(); n != 2+len(layers()) {
			t.Errorf("%d blobs are left", n)
		}
		img.Record(ctx)
		must(t, img.Close())
	}
	if ents, err := os.ReadDir(filepath.Join(p.dir, "locks")); err != nil || len(ents) != 2 {
		t.Errorf("locks: %v, %v", ents, err)
	}
	if n := p.sweep(); n != 0 {
		t.Errorf("%d blobs are left after Close", n)
	}
	p.want("r:v1") // the reference is left, the image is not: it is fetched again
	p.opts.Policy = Never
	p.want("r:v1")
	p.sweep()
	if _, err := p.open(ctx, "r:v1", cas.Options{}); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("never, after all was removed: %v", err)
	}
	if ents, _ := os.ReadDir(filepath.Join(p.dir, "locks")); len(ents) != 2 {
		t.Errorf("locks after a failure: %v", ents)
	}
}

// TestDropped: an image without layers in the cache is known by its name.
func TestDropped(t *testing.T) {
	p := newPuller(t)
	p.AddImage("r", "v1", layers()...)
	first := p.want("r:v1")
	s, err := cas.Open(ctx, p.dir, cas.Options{})
	must(t, err)
	refs, err := s.AllRefs()
	must(t, err)
	dropped := refs[0]
	dropped.Dropped = true
	must(t, s.SetRef(ctx, dropped, nil))
	img, err := p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	for i := range img.Layers {
		must(t, os.Remove(filepath.Join(p.dir, layout.BlobName(img.Layers[i].Digest))))
	}
	must(t, img.Close())

	p.opts.Policy = Never
	_, err = p.pull("r:v1", cas.Options{})
	if !errors.As(err, new(*AbsentError)) || !strings.Contains(err.Error(), "layer 0 sha256:") {
		t.Errorf("never: %v", err)
	}
	p.opts.Policy = IfMissing
	before := p.Stats().Requests
	if again := p.want("r:v1"); string(again) != string(first) {
		t.Error("another archive")
	}
	for what := range p.Stats().Requests {
		if strings.Contains(what, "/manifests/") && p.Stats().Requests[what] != before[what] {
			t.Errorf("%s although the manifest is in the cache", what)
		}
	}
	if refs, err := s.AllRefs(); err != nil || len(refs) != 1 || refs[0].Dropped {
		t.Errorf("%+v, %v: not listed as complete", refs, err)
	}
}

// TestUsed: the cache is told when an image is used.
func TestUsed(t *testing.T) {
	p := newPuller(t)
	p.AddImage("r", "v1", layers()...)
	for _, at := range []time.Time{time.Unix(1e9, 0), time.Unix(5e8, 0)} { // a clock may go backwards
		p.opts.Used = at
		p.want("r:v1")
		s, err := cas.Open(ctx, p.dir, cas.Options{})
		must(t, err)
		refs, err := s.AllRefs()
		must(t, err)
		info, err := os.Stat(filepath.Join(p.dir, layout.BlobName(digest.Digest(refs[0].Digest))))
		if err != nil || !info.ModTime().Equal(at) {
			t.Errorf("used %v, %v; want %v", info.ModTime(), err, at)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
