package pull

import (
	"bytes"
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/registry"
	fake "ocipipe/lib/reftest/registry"
)

// puller pulls from a registry that can misbehave, into a cache.
type puller struct {
	*fake.Server
	t    *testing.T
	dir  string // of the cache; "" is none
	opts Options

	mu     sync.Mutex
	events []Event
	warned []string
}

func newPuller(t *testing.T) *puller {
	t.Helper()
	s, err := fake.Start(fake.Config{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	p := &puller{Server: s, t: t, dir: filepath.Join(t.TempDir(), "cache")}
	p.opts = Options{
		Image:    oci.Options{TmpDir: t.TempDir(), Warn: func(s string) { p.mu.Lock(); defer p.mu.Unlock(); p.warned = append(p.warned, s) }},
		Registry: registry.Options{Timeout: 5 * time.Second},
		Progress: func(e Event) { p.mu.Lock(); defer p.mu.Unlock(); p.events = append(p.events, e) },
	}
	return p
}

// open opens the image ref of the registry, as a process of its own would.
func (p *puller) open(ctx context.Context, ref string, o cas.Options) (*Image, error) {
	p.t.Helper()
	p.events = nil
	opts := p.opts
	if p.dir != "" {
		var err error
		o.Warn = opts.Image.Warn
		opts.Cache, err = cas.Open(ctx, p.dir, o)
		must(p.t, err)
	}
	return Open(ctx, p.Host+"/"+ref, opts)
}

// pull writes the image as an archive.
func (p *puller) pull(ref string, o cas.Options) ([]byte, error) {
	p.t.Helper()
	img, err := p.open(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	var b bytes.Buffer
	if err = oci.WriteArchive(ctx, &b, img.Image); err == nil {
		img.Record(ctx)
	}
	return b.Bytes(), err
}

// want is pull where it must succeed.
func (p *puller) want(ref string) []byte {
	p.t.Helper()
	data, err := p.pull(ref, cas.Options{})
	must(p.t, err)
	return data
}

// twice returns how many bytes of blobs were sent more than once.
func (p *puller) twice() (n int64) {
	for _, v := range p.Stats().Blobs {
		n += v.Again
	}
	return n
}

func (p *puller) requests() (n int) {
	for _, k := range p.Stats().Requests {
		n += k
	}
	return n
}

// layers are some that differ in size: fetched whole, and in ranges.
func layers() [][]byte {
	return [][]byte{fake.Layer(1, 300_000), fake.Layer(2, 5<<20), fake.Layer(3, 100), fake.Layer(4, 2<<20)}
}

// kinds are the events about layer i, in order, with bytes only once.
func (p *puller) kinds(layer int) (list []EventKind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e.Layer == layer && (len(list) == 0 || list[len(list)-1] != e.Kind) {
			list = append(list, e.Kind)
		}
	}
	return list
}
