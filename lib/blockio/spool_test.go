package blockio

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

// fromFile is a writer that notes where in a file what it gets lies.
type fromFile struct {
	bytes.Buffer
	at []int64
}

func (w *fromFile) WriteFrom(f *os.File, off int64, p []byte) (int, error) {
	w.at = append(w.at, off)
	b := make([]byte, len(p))
	if _, err := f.ReadAt(b, off); err != nil {
		return 0, err
	}
	return w.Write(b)
}

func TestPart(t *testing.T) {
	s, err := NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("0123456789abcde"), partBuf/10)
	for _, b := range [][]byte{[]byte("before"), want, []byte("after")} {
		if _, err := s.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	part := s.Part(6, int64(len(want)))
	var plain bytes.Buffer
	var w fromFile
	for _, to := range []io.Writer{&plain, &w} {
		if n, err := part.WriteTo(to); n != int64(len(want)) || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if !bytes.Equal(plain.Bytes(), want) || !bytes.Equal(w.Bytes(), want) || len(w.at) != 2 || w.at[1] != 6+partBuf {
		t.Errorf("other bytes, from %d", w.at)
	}
	b := make([]byte, 10)
	if n, err := part.ReadAt(b, int64(len(want))-4); n != 4 || err != io.EOF || string(b[:4]) != "bcde" {
		t.Errorf("%d bytes at the end, %v: %q", n, err, b)
	}
	if _, err := s.Part(6, s.Size()).WriteTo(io.Discard); err == nil {
		t.Error("no error behind the end")
	}
	s.Close()
	if _, err := part.WriteTo(io.Discard); err == nil {
		t.Error("no error after Close")
	}
}

func TestSpoolAll(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcde\n"), 200_000)
	s, err := SpoolAll(t.TempDir(), iotest.OneByteReader(bytes.NewReader(want[:1000])))
	if err != nil || s.Size() != 1000 {
		t.Fatalf("%d bytes, %v", s.Size(), err)
	}
	s.Close()
	if s, err = SpoolAll(t.TempDir(), bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	have := make([]byte, len(want))
	if n, err := s.ReadAt(have, 0); err != nil || n != len(want) || !bytes.Equal(have, want) || s.Size() != int64(n) {
		t.Errorf("%d bytes of %d, %v", n, s.Size(), err)
	}
	broken := io.MultiReader(bytes.NewReader(want), iotest.ErrReader(io.ErrUnexpectedEOF))
	if s, err := SpoolAll(t.TempDir(), broken); err != io.ErrUnexpectedEOF || s != nil {
		t.Errorf("a reader that fails: %v", err)
	}
	if _, err := SpoolAll(filepath.Join(t.TempDir(), "missing"), bytes.NewReader(want)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
