package registry

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	fake "ocipipe/lib/reftest/registry"
)

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a registry that behaves like b.
func start(t *testing.T, c fake.Config, b fake.Behaviour) *fake.Server {
	t.Helper()
	s, err := fake.Start(c)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	s.Behave(b)
	s.Tag("r", "known", "") // or it would know no blobs of r
	return s
}

// waits records how long a client wanted to sleep; it does not sleep.
type waits struct {
	mu   sync.Mutex
	list []time.Duration
}

func (w *waits) sleep(ctx context.Context, d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, d)
	return ctx.Err() == nil
}

// client makes a client that does not really wait.
func client(t *testing.T, opts Options) (*Client, *waits) {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Second
	}
	c, err := New(opts)
	must(t, err)
	t.Cleanup(c.Close)
	w := &waits{}
	c.sleep = w.sleep
	return c, w
}

// open makes a client, and the repository "r" at host.
func open(t *testing.T, host string, opts Options) (*Repository, *waits) {
	t.Helper()
	c, w := client(t, opts)
	c.joinAfter = 0
	return repository(t, c, host+"/r:v1"), w
}

func repository(t *testing.T, c *Client, ref string) *Repository {
	t.Helper()
	r, err := c.Repository(parse(t, ref))
	must(t, err)
	return r
}

func parse(t *testing.T, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	must(t, err)
	return parsed
}

// data is size bytes, all different from those around them.
func data(size int) []byte {
	b := make([]byte, size)
	x := uint32(size)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func blobOf(b []byte) Blob { return Blob{Digest: digest.FromBytes(b), Size: int64(len(b))} }

// stream reads b in one stream.
func stream(r *Repository, b Blob, off int64) ([]byte, error) {
	s, err := r.Stream(ctx, b, off, nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return io.ReadAll(s)
}

// sink takes what Fetch writes and counts how often each byte was written.
type sink struct {
	mu    sync.Mutex
	data  []byte
	times []byte
}

func newSink(size int) *sink { return &sink{data: make([]byte, size), times: make([]byte, size)} }

func (s *sink) write(p []byte, off int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.data[off:], p)
	for i := range p {
		s.times[off+int64(i)]++
	}
	return nil
}

// fetchAll fetches all of b in ranges and returns what came, each byte once.
func fetchAll(t *testing.T, r *Repository, b Blob, missing ...Span) ([]byte, error) {
	t.Helper()
	s := newSink(int(b.Size))
	if missing == nil {
		missing = []Span{{0, b.Size}}
	}
	err := r.Fetch(ctx, b, missing, s.write, nil)
	want := make([]byte, b.Size)
	for _, m := range missing {
		for i := m.Off; i < m.End; i++ {
			want[i] = 1
		}
	}
	if err == nil && !bytes.Equal(s.times, want) {
		t.Error("not every missing byte was written once")
	}
	return s.data, err
}
