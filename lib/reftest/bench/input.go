package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// input returns the path of a file of dir, which it makes if it is not there. The
// bytes are the same each time.
func input(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(os.Stderr, "bench: making %s\n", path)
	f, err := os.Create(path + ".part")
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err = generate(w, name); err == nil {
		err = w.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return path, err
}

func generate(w io.Writer, name string) error {
	if plain, ok := strings.CutSuffix(name, ".gz"); ok {
		z := gzip.NewWriter(w)
		if err := generate(z, plain); err != nil {
			return err
		}
		return z.Close()
	}
	t := tree{w: tar.NewWriter(w), rand: rand.New(rand.NewPCG(1, 2))}
	t.text = t.words(64 << 20)
	t.dir("./")
	switch name {
	case "large.tar":
		for i := range 155 { // 4 MB each, with odd sizes
			t.file(fmt.Sprintf("file%03d", i), 3_500_000+t.rand.IntN(1_000_000))
		}
	case "small.tar": // like node_modules
		for i := range 1200 {
			t.dir(fmt.Sprintf("pkg%04d/", i))
			for j := range 100 {
				t.file(fmt.Sprintf("pkg%04d/module-%02d.js", i, j), int(t.rand.ExpFloat64()*7000))
			}
		}
	case "directory.tar":
		for i := range 50_000 {
			t.file(fmt.Sprintf("entry-%08x", i*2654435761&0xffffffff), 100)
		}
	default:
		return fmt.Errorf("no input is called %s", name)
	}
	if t.err != nil {
		return t.err
	}
	return t.w.Close()
}

// tree writes a tar; its first error sticks.
type tree struct {
	w    *tar.Writer
	rand *rand.Rand
	text []byte
	err  error
}

func (t *tree) dir(name string) {
	t.header(&tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755})
}

func (t *tree) file(name string, size int) {
	size = min(size, len(t.text))
	t.header(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(size)})
	if t.err == nil {
		off := t.rand.IntN(len(t.text) - size + 1)
		_, t.err = t.w.Write(t.text[off : off+size])
	}
}

func (t *tree) header(h *tar.Header) {
	h.Format, h.ModTime = tar.FormatUSTAR, time.Unix(1700000000, 0)
	if t.err == nil {
		t.err = t.w.WriteHeader(h)
	}
}

// words is text that compresses about as programs do.
func (t *tree) words(n int) []byte {
	var list [4096]string
	for i := range list {
		b := make([]byte, 2+t.rand.IntN(12))
		for j := range b {
			b[j] = byte('a' + t.rand.IntN(26))
		}
		list[i] = string(b) + " "
	}
	text := make([]byte, 0, n+16)
	for len(text) < n {
		text = append(text, list[t.rand.IntN(len(list))]...)
	}
	return text[:n]
}
