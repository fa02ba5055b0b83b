package blockio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sparseFile has data at 0 and at 1 MiB, and ends in a hole.
func sparseFile(t *testing.T, size int64) *os.File {
	t.Helper()
	f := newFile(t)
	for _, off := range []int64{0, 1 << 20} {
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, 4096), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

func newFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestNextData(t *testing.T) {
	f := sparseFile(t, 2<<20)
	for _, c := range []struct{ off, size, from, end int64 }{
		{0, 2 << 20, 0, 4096},
		{100, 2 << 20, 100, 4096},
		{4096, 2 << 20, 1 << 20, 1<<20 + 4096},
		{4096, 1 << 20, 1 << 20, 1 << 20},
		{0, 100, 0, 100},
		{1<<20 + 4096, 2 << 20, 2 << 20, 2 << 20},
		{2 << 20, 2 << 20, 2 << 20, 2 << 20},
	} {
		from, end, err := NextData(f, c.off, c.size)
		if err != nil || from != c.from || end != c.end {
			t.Errorf("from %d of %d: %d to %d, %v; want %d to %d", c.off, c.size, from, end, err, c.from, c.end)
		}
	}
	if _, _, err := NextData(f, 1<<20+4096, 3<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("behind the end: %v", err)
	}
	// A file that became shorter while it was looked at does not end like one that is complete.
	if _, err := dataEnd(f, 2<<20, 3<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("data behind the end: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, _, err := NextData(r, 0, 10); err == nil {
		t.Error("a pipe has data at an offset")
	}
}

func TestCopySparse(t *testing.T) {
	const size = 2 << 20
	src := sparseFile(t, size)
	for _, to := range []int64{0, 4096, 512} {
		dst := newFile(t)
		if err := CopySparse(t.Context(), dst, to, src, size); err != nil {
			t.Fatal(err)
		}
		if err := dst.Truncate(to + size); err != nil {
			t.Fatal(err)
		}
		want, _ := os.ReadFile(src.Name())
		have, _ := os.ReadFile(dst.Name())
		if !bytes.Equal(have, append(make([]byte, to), want...)) {
			t.Errorf("at %d: other bytes", to)
		}
		var st unix.Stat_t
		if err := unix.Stat(dst.Name(), &st); err != nil || st.Blocks*512 > 64<<10 {
			t.Errorf("at %d: %d bytes allocated, %v", to, st.Blocks*512, err)
		}
	}
}

func TestCopyShort(t *testing.T) {
	src := sparseFile(t, 2<<20)
	dst := newFile(t)
	if err := copyRange(t.Context(), dst, 0, src, 1<<20, 2<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of a file that is shorter: %v", err)
	}
	if err := CopyAt(t.Context(), dst, 0, src, 0, 0); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	if err := CopyAt(t.Context(), &failing{}, 0, src, 0, 10); err == nil {
		t.Error("the error of a write is lost")
	}
}

// stopper is a file of zeros whose first read cancels a context.
type stopper struct{ cancel func() }

func (s stopper) ReadAt(p []byte, _ int64) (int, error) {
	s.cancel()
	return len(p), nil
}

func TestCopyStops(t *testing.T) {
	why := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := CopyAt(ctx, newFile(t), 0, stopper{func() { cancel(why) }}, 0, 1<<50); err != why {
		t.Errorf("in the midst of a copy: %v", err)
	}
	src := sparseFile(t, 2<<20)
	if err := CopySparse(ctx, newFile(t), 0, src, 2<<20); err != nil && err != why {
		t.Error(err) // nil where it shares blocks, at once
	}
	if err := copyRange(ctx, newFile(t), 0, src, 0, 2<<20); err != why {
		t.Errorf("a copy of the kernel: %v", err)
	}
}

func TestCopyExpanded(t *testing.T) {
	const size = 2 << 20
	src := sparseFile(t, size)
	want, err := os.ReadFile(src.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, 1, 4096, 5000, 1 << 20, 1<<20 + 1, size} {
		var have bytes.Buffer
		if err := CopyExpanded(t.Context(), &have, src, n); err != nil || !bytes.Equal(have.Bytes(), want[:n]) {
			t.Errorf("%d bytes: %d, %v", n, have.Len(), err)
		}
	}
	if err := CopyExpanded(t.Context(), io.Discard, src, size+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of a file that is shorter: %v", err)
	}
	for left := range 3 {
		if err := CopyExpanded(t.Context(), &full{left}, src, size); !errors.Is(err, errFull) {
			t.Errorf("after %d writes: %v", left, err)
		}
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if err := CopyExpanded(ctx, io.Discard, src, size); !errors.Is(err, enough) {
		t.Errorf("of a context that is done: %v", err)
	}
}

// full takes so many writes.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestStoppable(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r := Stoppable(ctx, strings.NewReader("text"))
	b := make([]byte, 2)
	if n, err := r.Read(b); n != 2 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	cause := errors.New("cause")
	cancel(cause)
	if n, err := r.Read(b); n != 0 || !errors.Is(err, cause) {
		t.Errorf("afterwards %d bytes, %v", n, err)
	}
}
