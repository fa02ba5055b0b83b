package pull

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/ocitest"
	fake "ocipipe/lib/reftest/registry"
)

// TestCorruptDownload: bytes that are not the right ones are an error, at once,
// and are not kept.
func TestCorruptDownload(t *testing.T) {
	for _, rule := range []fake.Rule{{Flip: 3 << 20}, {Range: "lie"}} {
		for _, serial := range []bool{false, true} {
			p := newPuller(t)
			img := p.AddImage("r", "v1", fake.Layer(1, 1000), fake.Layer(2, 8<<20))
			rule.Match = "/blobs/" + img.Layers[1]
			p.Behave(fake.Behaviour{Rules: []fake.Rule{rule}})
			if serial {
				p.dir, p.opts.Jobs, p.opts.Registry.Connections = "", 1, 1
				if rule.Range != "" {
					continue // nobody asks for one
				}
			}
			_, err := p.pull("r:v1", cas.Options{})
			if !errors.Is(err, oci.ErrCorrupt) || temporary(err) || !strings.Contains(err.Error(), "layer 1: ") || !strings.Contains(err.Error(), img.Layers[1]) {
				t.Errorf("%+v: %v (temporary %v)", rule, err, temporary(err))
			}
			if p.twice() > 0 && rule.Range == "" {
				t.Errorf("%+v: it was tried again", rule)
			}
			if _, err := os.Stat(filepath.Join(p.dir, "tmp")); err == nil {
				if left, _ := filepath.Glob(p.dir + "/tmp/*.part"); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			}
		}
	}
}

// TestFirstFailureEndsAll: if one layer of an image fails the others are not fetched, and
// the error is the cause.
func TestFirstFailureEndsAll(t *testing.T) {
	p := newPuller(t)
	img := p.AddImage("r", "v1", fake.Layer(1, 4<<20), fake.Layer(2, 1000))
	p.Behave(fake.Behaviour{Rules: []fake.Rule{
		{Match: "/blobs/" + img.Layers[0], Piece: 100_000, Pause: fake.Duration(time.Second)},
		{Match: "/blobs/" + img.Layers[1], Status: 404, Code: "BLOB_UNKNOWN", Message: "gone"},
	}})
	_, err := p.pull("r:v1", cas.Options{})
	if !errors.Is(err, oci.ErrNotFound) || err.Error() != "layer 1: registry: BLOB_UNKNOWN: gone (HTTP 404)" {
		t.Error(err)
	}
	if served := p.Stats().Blobs[img.Layers[0]]; served.Size > 0 && served.Unique >= served.Size { // it may not have begun
		t.Errorf("all %d bytes of the other layer were fetched", served.Size)
	}
	if k := p.kinds(1); k[len(k)-1] != EventFailed {
		t.Errorf("events %v", k)
	}
}

// TestRetriesAreTold: an event for each attempt.
func TestRetriesAreTold(t *testing.T) {
	p := newPuller(t)
	img := p.AddImage("r", "v1", fake.Layer(1, 1000))
	p.Behave(fake.Behaviour{Rules: []fake.Rule{
		{Match: "/manifests/", Times: 1, Status: 503, RetryAfter: "1"}, {Match: "/blobs/" + img.Layers[0], Times: 1, Break: "reset", At: 500}}})
	p.want("r:v1")
	for _, e := range p.events {
		if e.Kind == EventRetry && (e.Attempt != 1 || e.Wait <= 0 || e.Err == nil) {
			t.Errorf("%+v", e)
		}
	}
	k := p.kinds(0)
	if !slices.Contains(k, EventRetry) || k[0] != EventQueued || k[1] != EventStarted || k[len(k)-1] != EventDone {
		t.Errorf("events %v", k)
	}
	if !slices.ContainsFunc(p.events, func(e Event) bool { return e.Kind == EventRetry && e.Layer == -1 }) {
		t.Error("nothing was said of the manifest")
	}
}

// TestDownloadsOutliveOpen: the context of Open does not end the downloads of the image.
func TestDownloadsOutliveOpen(t *testing.T) {
	p := newPuller(t)
	layer := fake.Layer(1, 4<<20)
	p.AddImage("r", "v1", layer)
	opening, cancel := context.WithCancel(ctx)
	img, err := p.open(opening, "r:v1", cas.Options{})
	cancel()
	must(t, err)
	defer img.Close()
	must(t, img.Prefetch())
	if data, err := ocitest.Content(img.Layers[0].Open); err != nil || !bytes.Equal(data, layer) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	img.Record(ctx)
	must(t, img.Close())
	must(t, img.Close())
	p.Server.Close()
	p.opts.Policy = Never
	p.want("r:v1")
}

// TestCloseEndsDownloads: nothing goes on after an image was closed.
func TestCloseEndsDownloads(t *testing.T) {
	p := newPuller(t)
	p.AddImage("r", "v1", fake.Layer(1, 4<<20), fake.Layer(2, 4<<20))
	p.Behave(fake.Behaviour{Rules: []fake.Rule{{Match: "/blobs/", Skip: 1, Break: "stall", At: 100}}})
	img, err := p.open(ctx, "r:v1", cas.Options{})
	must(t, err)
	must(t, img.Prefetch())
	r, err := img.Layers[0].Open(ctx)
	must(t, err)
	closed := make(chan error)
	time.AfterFunc(100*time.Millisecond, func() { closed <- img.Close() })
	if _, err := r.Read(make([]byte, 1<<20)); err == nil {
		_, err = r.Read(make([]byte, 1<<20))
	}
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(2 * time.Minute):
		t.Fatal("not closed")
	}
	for i := 0; p.Stats().Running > 0; i++ { // the server learns of it a moment later
		if i == 600 {
			t.Fatalf("%d requests still run", p.Stats().Running)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestOpenEndsWithItsContext: a reader that finds its part at an end before the download
// is waits no longer than it may.
func TestOpenEndsWithItsContext(t *testing.T) {
	part, err := cas.Spool(t.TempDir(), digest.FromString("x"), 1)
	must(t, err)
	must(t, part.Close())
	d := &download{ready: make(chan struct{}), ended: make(chan struct{}), part: part, kind: sourcePart}
	close(d.ready)
	waiting, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		_, err := d.open(waiting)
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still waiting")
	}
}
