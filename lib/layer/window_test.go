package layer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/unzstd"
)

// widePieces makes a frame with a large window of each piece.
func widePieces(t testing.TB, pieces ...[]byte) (packed []byte) {
	t.Helper()
	for _, p := range pieces {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(16<<20))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(p)
		w.Flush() // else a short frame has no window but its content
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		packed = append(packed, b.Bytes()...)
	}
	return packed
}

// TestMergeLargeWindows merges layers that all need the large window, which only one at a
// time can have.
func TestMergeLargeWindows(t *testing.T) {
	var in []layer.Input
	var o opener
	for i := range 8 {
		whole := tarOf(t, parseStack(fmt.Sprintf("file a%d\nfile b", i))[0])
		cut := len(whole) / 2
		data := slices.Concat(widePieces(t, whole[:cut], whole[cut:cut+9]), zstdFrames(t, whole[cut+9:cut+99]), widePieces(t, whole[cut+99:]))
		in = append(in, o.input(fmt.Sprint("layer ", i), inMemory(data)))
	}
	for _, jobs := range []int{1, 2, 8} {
		merged, err := layer.Merge(t.Context(), in, layer.LoadOptions{Jobs: jobs, SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		src := merged.Source(tree.Flat)
		n := 0
		for _, err = src.Next(); err == nil; _, err = src.Next() {
			n++
		}
		if src.Close(); err != io.EOF || n != 1+8+1 {
			t.Errorf("%d jobs: %d entries, %v", jobs, n, err)
		}
	}
}

// heldLayer has the window from when held is closed until it is given more to read.
type heldLayer struct {
	in   *io.PipeReader
	out  *io.PipeWriter
	held chan struct{}
}

func newHeldLayer(t *testing.T) *heldLayer {
	in, out := io.Pipe()
	h := &heldLayer{in, out, make(chan struct{})}
	go func() {
		// This is more than is read before the first of it is decoded.
		whole := widePieces(t, largeTar())
		out.Write(whole[:len(whole)/2])
		close(h.held)
	}()
	return h
}

func (h *heldLayer) open(ctx context.Context) (io.ReadCloser, error) {
	context.AfterFunc(ctx, func() { h.in.CloseWithError(context.Cause(ctx)) })
	return h.in, nil
}

// after opens data, but nothing can be read before the channel is closed.
func after(c <-chan struct{}, data []byte) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(afterReader{c, ctx}, bytes.NewReader(data))), nil
	}
}

type afterReader struct {
	c   <-chan struct{}
	ctx context.Context
}

func (a afterReader) Read([]byte) (int, error) {
	select {
	case <-a.c:
		return 0, io.EOF
	case <-a.ctx.Done():
		return 0, context.Cause(a.ctx)
	}
}

// TestWindowWaitCancelled cancels a merge in which one layer waits for the window, and
// the other, which has it, for its input.
func TestWindowWaitCancelled(t *testing.T) {
	why := errors.New("no more")
	data := widePieces(t, tarOf(t, parseStack("file a")[0]))
	for _, below := range []bool{true, false} {
		before := reftest.RunningNow(t)
		var o opener
		h := newHeldLayer(t)
		in := []layer.Input{o.input("held", h.open), o.input("waits", after(h.held, data))}
		if below {
			slices.Reverse(in)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-h.held
			time.Sleep(10 * time.Millisecond)
			cancel(why)
		}()
		_, err := layer.Merge(ctx, in, layer.LoadOptions{Jobs: 2, SpoolDir: t.TempDir()})
		if err != why || o.open.Load() != 0 {
			t.Errorf("%v, %d are open", err, o.open.Load())
		}
		before.Left(t)
	}
}

// TestWindowWaitGoesOn: a layer waits for the window, and a layer above, which has it,
// fails. The waiting layer then goes on; if it fails too, its error counts.
func TestWindowWaitGoesOn(t *testing.T) {
	var o opener
	h := newHeldLayer(t)
	in := []layer.Input{
		o.input("low", after(h.held, widePieces(t, []byte(strings.Repeat("no tar", 1000))))),
		o.input("high", h.open),
	}
	go func() {
		<-h.held
		time.Sleep(10 * time.Millisecond)
		h.out.CloseWithError(errors.New("broken"))
	}()
	_, err := layer.Merge(t.Context(), in, layer.LoadOptions{Jobs: 2, SpoolDir: t.TempDir()})
	if !errors.Is(err, layer.ErrCorrupt) || !strings.HasPrefix(err.Error(), "low: ") {
		t.Errorf("%v", err)
	}
}

// TestWindowWaitFails: a layer stops waiting for the window once a layer below has failed.
func TestWindowWaitFails(t *testing.T) {
	h := newHeldLayer(t)
	var o opener
	in := []layer.Input{
		o.input("low", h.open),
		o.input("high", after(h.held, widePieces(t, tarOf(t, parseStack("file a")[0])))),
	}
	broken := errors.New("broken")
	go func() {
		<-h.held
		h.out.CloseWithError(broken)
	}()
	_, err := layer.Merge(t.Context(), in, layer.LoadOptions{Jobs: 2, SpoolDir: t.TempDir()})
	if !errors.Is(err, broken) || o.open.Load() != 0 {
		t.Errorf("%v, %d are open", err, o.open.Load())
	}
}

// TestCloseWhileWaiting closes a layer that waits for the window, which stays taken.
func TestCloseWhileWaiting(t *testing.T) {
	opts := layer.Options{Window: unzstd.NewWindow()}
	h := newHeldLayer(t)
	holds, err := layer.NewReader(h.in, opts)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		e, err := holds.Next()
		if err == nil {
			_, err = e.Content.WriteTo(io.Discard)
		}
		read <- err
	}()
	<-h.held
	before := reftest.RunningNow(t)
	waits, err := layer.NewReader(bytes.NewReader(widePieces(t, tarOf(t, parseStack("file a")[0]))), opts)
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan error)
	go func() {
		_, err := waits.Next()
		next <- err
	}()
	select {
	case err := <-next:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	closed := make(chan error)
	go func() { closed <- waits.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for the window")
	}
	if err := <-next; err == nil {
		t.Error("an entry after Close")
	}
	before.Left(t)
	h.out.CloseWithError(io.EOF)
	if err := <-read; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the layer with the window: %v", err)
	}
	holds.Close()
}
