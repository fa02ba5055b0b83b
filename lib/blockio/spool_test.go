package blockio

import (
	"bytes"
	"io"
	"os"
	"testing"
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
