package blockio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Pieces of all sizes, copied or not, arrive in order and where they belong.
func TestWriter(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const start = 4096
	w := NewWriter(f, start)
	want := make([]byte, start)
	for i, n := range []int{0, 1, 4095, directMin - 1, directMin, 3, directMin - 1, directMin - 1, directMin - 1, directMin - 1, writerBuf, writerBuf + 1, 17} {
		p := bytes.Repeat([]byte{byte(i + 1)}, n)
		if k, err := w.Write(p); k != n || err != nil {
			t.Fatalf("write of %d: %d, %v", n, k, err)
		}
		want = append(want, p...)
		if i%3 == 0 {
			to := (w.Offset() + 4095) / 4096 * 4096
			if err := w.Zero(to); err != nil {
				t.Fatal(err)
			}
			want = append(want, make([]byte, to-int64(len(want)))...)
		}
		if w.Offset() != int64(len(want)) {
			t.Fatalf("offset %d, expected %d", w.Offset(), len(want))
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("%d bytes, expected %d; %v", len(have), len(want), err)
	}
}

// What is written from lent memory, also in pieces and with some of them left out or replaced,
// and what is written in between from elsewhere, arrives in order.
func TestWriterLend(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want, tapped bytes.Buffer
	rng := rand.New(rand.NewPCG(1, 2))
	w := NewWriter(f, 0)
	w.Tap(&tapped)
	write := func(p []byte) {
		want.Write(p)
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatalf("write of %d: %d, %v", len(p), n, err)
		}
	}
	random := randomBytes(2 * writerBuf)
	for want.Len() < 40*writerBuf {
		if rng.IntN(3) == 0 {
			write(random[:1+rng.IntN([]int{10, directMin, len(random)}[rng.IntN(3)])])
			continue
		}
		p := Lend(w)
		if len(p) == 0 {
			t.Fatal("nothing was lent")
		}
		if rng.IntN(2) == 0 {
			p = p[:1+rng.IntN(len(p))]
		}
		copy(p, random[rng.IntN(len(random)-len(p)+1):])
		for len(p) > 0 {
			k := 1 + rng.IntN(len(p))
			if mode := rng.IntN(4); mode == 0 {
				write(zeros[:min(k, len(zeros))]) // in place of as many
				k = min(k, len(zeros))
			} else if mode > 1 {
				write(p[:k])
			}
			p = p[k:]
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(have, want.Bytes()) || !bytes.Equal(tapped.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes in the file, %d seen, expected %d; %v", len(have), tapped.Len(), want.Len(), err)
	}
}

// What was lent is written once the memory is full, in one go.
func TestWriterLendWhole(t *testing.T) {
	f := &failing{left: 100}
	w := NewWriter(f, 0)
	for range 2 * writerBuf / directMin {
		if _, err := w.Write(w.Lend()[:directMin]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil || f.left != 98 {
		t.Errorf("%d writes, expected 2; %v", 100-f.left, err)
	}
}

// Memory that was lent and not used does not get lost, wherever the Writer goes.
func TestWriterLendUnused(t *testing.T) {
	f := &failing{left: 100}
	w := NewWriter(f, 0)
	for i := range int64(5 * writerCount) {
		w.Lend()
		if err := w.Move(i * 100); err != nil {
			t.Fatal(err)
		}
	}
	if Lend(io.Discard) != nil {
		t.Error("io.Discard lends memory")
	}
	if err := w.Flush(); err != nil || f.left != 100 {
		t.Errorf("%d writes, %v", 100-f.left, err)
	}
}

// What comes after Move is where it says, and what came before stays.
func TestWriterMove(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, 5)
	for i, at := range []int64{5, 20, 23, 10} {
		if err := w.Move(at); err != nil || w.Offset() != at {
			t.Fatalf("moved to %d, is at %d: %v", at, w.Offset(), err)
		}
		w.Write(bytes.Repeat([]byte{byte('a' + i)}, 3))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(f.Name())
	if want := ".....aaa..ddd.......bbbccc"; strings.ReplaceAll(string(have), "\x00", ".") != want || err != nil {
		t.Errorf("file holds %q, expected %q; %v", have, want, err)
	}
}

// The tap sees all bytes in their order, whichever goroutine writes them, and
// Flush comes after it.
func TestWriterTap(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var seen, want bytes.Buffer
	w := NewWriter(f, 10)
	w.Tap(&seen)
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+i*i%5000)
		if i%500 == 0 {
			p = bytes.Repeat(p, directMin)[:directMin+i]
		}
		want.Write(p)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(have[10:], want.Bytes()) || !bytes.Equal(seen.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes in the file, %d seen, expected %d; %v", len(have)-10, seen.Len(), want.Len(), err)
	}
}

// What a goroutine could not write is an error of Flush, at the latest.
func TestWriterErrorBehind(t *testing.T) {
	w := NewWriter(&failing{}, 0)
	if _, err := w.Write([]byte("small")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Flush(); !errors.Is(err, errFull) {
			t.Errorf("flush: %v", err)
		}
	}
}

type failing struct {
	mu   sync.Mutex
	left int
}

var errFull = errors.New("full")

func (f *failing) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterErrorSticks(t *testing.T) {
	f := &failing{left: 1}
	w := NewWriter(f, 0)
	large := make([]byte, writerBuf)
	if _, err := w.Write(large); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(large); !errors.Is(err, errFull) {
		t.Errorf("second write: %v", err)
	}
	f.left = 10
	_, err := w.Write([]byte("x"))
	for what, err := range map[string]error{"write": err, "zero": w.Zero(10 << 20), "flush": w.Flush()} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s after an error: %v", what, err)
		}
	}
	if f.left != 10 {
		t.Errorf("%d more writes were tried", 10-f.left)
	}
}
