package layer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// largeTar is a layer of a few MB, which no buffer holds.
func largeTar() []byte {
	data := make([]byte, 6<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	return rawTar(raw{name: "a", data: string(data)}, raw{name: "b", data: "b"})
}

func packed(t *testing.T, how string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch how {
	case "gzip":
		w, _ = gzip.NewWriterLevel(&b, gzip.BestSpeed)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	default:
		return data
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// touched is a reader that notes, without any lock, that it is being read.
type touched struct {
	r io.Reader
	n int
}

func (r *touched) Read(p []byte) (int, error) {
	r.n++
	return r.r.Read(p[:min(len(p), 4096)])
}

// TestReaderCloseWaits closes layers while they are read: then nobody reads the input
// any more, which the race detector sees, and nothing is left.
func TestReaderCloseWaits(t *testing.T) {
	data := largeTar()
	for _, how := range []string{"plain", "gzip", "zstd"} {
		for _, damage := range []string{"none", "cut", "flipped", "junk"} {
			in := bytes.Clone(packed(t, how, data))
			switch damage {
			case "cut":
				in = in[:len(in)/2]
			case "flipped":
				copy(in[len(in)/2:], "flipped")
			case "junk":
				in = append(in[:2:2], in[:1<<20]...)
			}
			before := reftest.RunningNow(t)
			for entries := range 3 {
				r := &touched{r: bytes.NewReader(in)}
				src, err := layer.NewReader(r, layer.Options{DiffID: digest.FromBytes(data)})
				if err != nil {
					continue
				}
				for range entries {
					src.Next()
				}
				if err := src.Close(); err != nil {
					t.Errorf("%s, %s: %v", how, damage, err)
				}
				r.n = 0
				if err := src.Close(); err != nil || r.n != 0 {
					t.Errorf("%s, %s: closed again: %v, read %d times", how, damage, err, r.n)
				}
				if _, err := src.Next(); err == nil {
					t.Errorf("%s, %s: an entry after Close", how, damage)
				}
			}
			before.Left(t)
		}
	}
}

// opener opens layers, and counts them.
type opener struct {
	opened, open atomic.Int32
}

func (o *opener) input(name string, open func(context.Context) (io.ReadCloser, error)) layer.Input {
	return layer.Input{Name: name, Open: func(ctx context.Context) (io.ReadCloser, error) {
		r, err := open(ctx)
		if err != nil {
			return nil, err
		}
		o.opened.Add(1)
		o.open.Add(1)
		return &countedLayer{ReadCloser: r, o: o}, nil
	}}
}

type countedLayer struct {
	io.ReadCloser
	o      *opener
	closed bool
}

func (c *countedLayer) Close() error {
	if !c.closed {
		c.closed = true
		c.o.open.Add(-1)
	}
	return c.ReadCloser.Close()
}

func inMemory(data []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// silent is a pipe that is never written.
func silent(t *testing.T) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { r.Close() })
		return &silentPipe{r, w}, nil
	}
}

type silentPipe struct {
	*os.File
	w *os.File
}

func (s *silentPipe) Close() error { return errors.Join(ignoreClosed(s.File.Close()), s.w.Close()) }

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// endlessTar is a layer whose one file does not end in the lifetime of a test.
func endlessTar(context.Context) (io.ReadCloser, error) {
	head := rawTar(raw{name: "endless", size: "77777777777"})[:512]
	return io.NopCloser(io.MultiReader(bytes.NewReader(head), zeros{})), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestMergeEndsWithFirstError merges layers of which one is bad, among others that are
// good, silent or endless: no other is opened any more, and nothing is left of any.
func TestMergeEndsWithFirstError(t *testing.T) {
	good := tarOf(t, parseStack("file a")[0])
	large := packed(t, "gzip", largeTar())
	bad := map[string]func(context.Context) (io.ReadCloser, error){
		"cut":       inMemory(large[:len(large)/2]),
		"corrupt":   inMemory(append(large[:len(large)-2000:len(large)-2000], make([]byte, 2000)...)),
		"no tar":    inMemory([]byte(strings.Repeat("junk", 1000))),
		"link":      inMemory(tarOf(t, parseStack("hard x -> missing")[0])),
		"no opener": func(context.Context) (io.ReadCloser, error) { return nil, os.ErrNotExist },
	}
	around := map[string]func(context.Context) (io.ReadCloser, error){
		"good": inMemory(good), "large": inMemory(large), "silent": silent(t), "endless": endlessTar,
	}
	const n = 6
	for what, open := range bad {
		for other, openOther := range around {
			for _, k := range []int{0, 2, n - 1} {
				for _, jobs := range []int{1, 2, n} {
					below := openOther
					if other == "endless" || what == "link" || jobs <= k {
						below = inMemory(good) // what goes on may end, and who waits for slots gets one
					}
					t.Run(fmt.Sprintf("%s at %d among %s, -j%d", what, k, other, jobs), func(t *testing.T) {
						var o opener
						var in []layer.Input
						for i := range n {
							switch f := open; {
							case i < k:
								in = append(in, o.input(fmt.Sprint("layer ", i), below))
							case i == k:
								in = append(in, o.input(fmt.Sprint("layer ", i), f))
							default:
								in = append(in, o.input(fmt.Sprint("layer ", i), openOther))
							}
						}
						dir := t.TempDir()
						before := reftest.RunningNow(t)
						merged, err := layer.Merge(context.Background(), in, layer.LoadOptions{Jobs: jobs, SpoolDir: dir})
						if err == nil {
							merged.Close()
						}
						opened := o.opened.Load()
						before.Left(t)
						if want := fmt.Sprintf("layer %d: ", k); err == nil || !strings.HasPrefix(err.Error(), want) {
							t.Errorf("error %v, want that of layer %d", err, k)
						}
						if still := o.open.Load(); still != 0 || o.opened.Load() != opened {
							t.Errorf("%d are open, and %d were opened later", still, o.opened.Load()-opened)
						}
						if jobs == 1 && what != "link" && int(opened) > k+1 {
							t.Errorf("%d layers were opened, and that at %d is bad", opened, k)
						}
					})
				}
			}
		}
	}
}

// TestMergeCancelled ends merges by their context: of layers that wait, that have no
// end, and before they begin.
func TestMergeCancelled(t *testing.T) {
	why := errors.New("no more")
	for name, open := range map[string]func(context.Context) (io.ReadCloser, error){"silent": silent(t), "endless": endlessTar} {
		for _, at := range []string{"before", "while it opens", "later"} {
			var o opener
			ctx, cancel := context.WithCancelCause(context.Background())
			if at == "before" {
				cancel(why)
			}
			in := []layer.Input{
				o.input("layer 0", inMemory(tarOf(t, parseStack("file a")[0]))),
				o.input("layer 1", open),
				o.input("layer 2", func(ctx context.Context) (io.ReadCloser, error) {
					r, err := open(ctx)
					if at == "while it opens" {
						cancel(why)
					} else {
						go cancel(why)
					}
					return r, err
				}),
			}
			dir := t.TempDir()
			before := reftest.RunningNow(t)
			_, err := layer.Merge(ctx, in, layer.LoadOptions{Jobs: 3, SpoolDir: dir})
			if err != why {
				t.Errorf("%s, cancelled %s: %v", name, at, err)
			}
			before.Left(t)
			if still := o.open.Load(); still != 0 || at == "before" && o.opened.Load() != 0 {
				t.Errorf("%s, cancelled %s: %d are open of %d", name, at, still, o.opened.Load())
			}
			cancel(nil)
		}
	}
}

// TestOpenCloses: the source of a silent input can be closed, as it closes that.
func TestOpenCloses(t *testing.T) {
	before := reftest.RunningNow(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	data := largeTar()
	w.Write(data[:8192])
	src, err := layer.Open(context.Background(), layer.Input{Open: func(ctx context.Context) (io.ReadCloser, error) {
		context.AfterFunc(ctx, func() { r.Close() })
		return r, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	w.Close()
	before.Left(t)
}

// TestFileClosed closes a layer in a file while another goroutine reads a content: when Close
// has returned, nothing reads the file.
func TestFileClosed(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "layer.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Write(rawTar(raw{name: "large", size: "77777777777"})[:512])
	if err := f.Truncate(9 << 30); err != nil {
		t.Fatal(err)
	}
	f.Seek(0, io.SeekStart)
	before := reftest.RunningNow(t)
	src, err := layer.NewReader(f, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := src.Next()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := e.Content.WriteTo(io.Discard)
		done <- err
	}()
	where := func() int64 {
		off, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			t.Fatal(err)
		}
		return off
	}
	for where() < 16<<20 {
		runtime.Gosched()
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	at := where()
	if err := <-done; !errors.Is(err, tree.ErrClosed) {
		t.Errorf("content: %v", err)
	}
	if now := where(); now != at {
		t.Errorf("%d bytes were read after Close", now-at)
	}
	if _, err := src.Next(); !errors.Is(err, tree.ErrClosed) {
		t.Errorf("next entry: %v", err)
	}
	before.Left(t)
}
