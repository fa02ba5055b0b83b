package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
)

// ours is the archive that WriteArchive makes of ti.
func ours(t testing.TB, ti testImage) []byte {
	t.Helper()
	p := newPack()
	p.index(named(p.image(t, ti), "v1"))
	img, err := OpenPath(ctx, p.dir(t), linux)
	must(t, err)
	var buf bytes.Buffer
	must(t, WriteArchive(ctx, &buf, img))
	return buf.Bytes()
}

func TestWriteArchive(t *testing.T) {
	ti := simple(t)
	want := ours(t, ti)
	t.Run("entries", func(t *testing.T) {
		var names []string
		for tr := tar.NewReader(bytes.NewReader(want)); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			must(t, err)
			mode := int64(0o444)
			if h.Typeflag == tar.TypeDir {
				mode = 0o755
			}
			if h.Mode != mode || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 {
				t.Errorf("header of %s: %+v", h.Name, h)
			}
			names = append(names, h.Name)
		}
		d := func(how string, i int) string { return digest.FromBytes(compressed(t, how, ti.layers[i])).Encoded() }
		if len(names) != 8 || names[0] != layout.File || names[1] != layout.Index ||
			names[6] != "blobs/sha256/"+d("gzip", 0) || names[7] != "blobs/sha256/"+d("gzip", 1) {
			t.Errorf("entries %q", names)
		}
	})
	t.Run("again, from a pipe", func(t *testing.T) {
		img, err := OpenArchive(ctx, pipe(want, nil), linux)
		must(t, err)
		defer img.Close()
		var got bytes.Buffer
		must(t, WriteArchive(ctx, &got, img))
		if !bytes.Equal(got.Bytes(), want) {
			t.Error("bytes differ")
		}
		if img.Tag != "v1" {
			t.Errorf("tag %q", img.Tag)
		}
	})
	t.Run("full", func(t *testing.T) {
		img, err := OpenArchive(ctx, pipe(want, nil), linux)
		must(t, err)
		defer img.Close()
		for n := 0; n < len(want); n += 512 {
			full := errors.New("full")
			if err := WriteArchive(ctx, &limitedWriter{n, full}, img); err != full {
				t.Fatalf("%d: %v", n, err)
			}
		}
	})
	t.Run("sha512 and no layers", func(t *testing.T) {
		ti := testImage{plat: amd64, alg: digest.SHA512}
		img, err := OpenArchive(ctx, io.NopCloser(bytes.NewReader(ours(t, ti))), linux)
		must(t, err)
		ti.check(t, img)
	})
}

type limitedWriter struct {
	n   int
	err error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		return w.n, w.err
	}
	w.n -= len(p)
	return len(p), nil
}

// readAll opens an archive, reads every layer, and its end.
func readAll(r io.ReadCloser) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	img, err := OpenArchive(ctx, r, linux)
	if err != nil {
		return err
	}
	defer img.Close()
	if _, err := contents(img); err != nil {
		return err
	}
	return img.Finish(ctx)
}

func TestCutArchive(t *testing.T) {
	plain := simple(t)
	docker := newPack().dockerSave(t, simple(t), "x:y").tar(t)
	unordered := newPack()
	unordered.index(unordered.image(t, plain))
	for name, data := range map[string][]byte{"ours": ours(t, plain), "unordered": unordered.tar(t), "docker": docker} {
		t.Run(name, func(t *testing.T) {
			must(t, readAll(pipe(data, nil)))
			must(t, readAll(pipe(append(bytes.Clone(data), make([]byte, 10000)...), nil))) // padding of GNU tar
			file := filepath.Join(t.TempDir(), "f")
			for n := range len(data) {
				if n%512 > 1 && n%512 < 511 && n%97 != 0 {
					continue
				}
				err := readAll(pipe(data[:n], nil))
				if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), fmt.Sprintf("cut short at byte %d (see", n)) {
					t.Fatalf("pipe cut at %d: %v", n, err)
				}
				must(t, os.WriteFile(file, data[:n], 0o666))
				if _, err := OpenPath(ctx, file, linux); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("file cut at %d: %v", n, err)
				}
			}
		})
	}
	t.Run("gzip", func(t *testing.T) {
		data := compressed(t, "gzip", ours(t, plain))
		for n := 0; n < len(data); n += 7 {
			if err := readAll(pipe(data[:n], nil)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		}
	})
}

func TestBrokenPipe(t *testing.T) {
	data := ours(t, simple(t))
	broken := errors.New("input/output error")
	for n := 0; n < len(data); n += 300 {
		err := readAll(pipe(data[:n], broken))
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), fmt.Sprintf("byte %d", n)) {
			t.Fatalf("broken at %d: %v", n, err)
		}
	}
}

// TestFlippedArchive changes one bit anywhere. Either that is found, or it is
// where nothing that counts lies: then what was read is right all the same.
func TestFlippedArchive(t *testing.T) {
	ti := simple(t)
	want := ours(t, ti)
	img, err := OpenArchive(ctx, io.NopCloser(bytes.NewReader(want)), linux)
	must(t, err)
	good := img.Digest
	rnd := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 400 {
		data := bytes.Clone(want)
		at := rnd.IntN(len(data))
		data[at] ^= 1 << rnd.IntN(8)
		img, err := OpenArchive(ctx, pipe(data, nil), linux)
		if err == nil {
			err = func() error {
				defer img.Close()
				if _, err := contents(img); err != nil {
					return err
				}
				if err := img.Finish(ctx); err != nil {
					return err
				}
				if img.Digest != good {
					t.Fatalf("byte %d: another image", at)
				}
				ti.check(t, img)
				return nil
			}()
		}
		if err != nil {
			found++
		}
	}
	if found < 200 {
		t.Errorf("only %d of 400 found", found)
	}
}

// TestConcurrentLayers reads all layers at once while they arrive, and sees that
// an error that comes in the middle reaches each.
func TestConcurrentLayers(t *testing.T) {
	ti := testImage{plat: amd64}
	for i := range 8 {
		ti.layers = append(ti.layers, layerTar(t, fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 300_000)))
	}
	data := ours(t, ti)
	each := func(img *Image) []error {
		errs := make([]error, len(img.Layers))
		var wg sync.WaitGroup
		for i := range img.Layers {
			wg.Go(func() { _, errs[i] = content(&img.Layers[i]) })
		}
		wg.Wait()
		return errs
	}
	img, err := OpenArchive(ctx, pipe(data, nil), linux)
	must(t, err)
	defer img.Close()
	for i, err := range each(img) {
		if err != nil {
			t.Errorf("layer %d: %v", i, err)
		}
	}
	ti.check(t, img) // once more, from the spool

	half, err := OpenArchive(ctx, pipe(data[:len(data)/2], nil), linux)
	must(t, err)
	defer half.Close()
	for i, err := range each(half) {
		if got := err != nil; got != (i >= 3) || got && !errors.Is(err, io.ErrUnexpectedEOF) && i > 3 {
			t.Errorf("layer %d of a cut archive: %v", i, err)
		}
	}
}

// TestEarly sees that an image is known, and its first layer read, while the
// second has not been written.
func TestEarly(t *testing.T) {
	data := ours(t, simple(t))
	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	go w.Write(data[:len(data)-2048])
	img, err := OpenArchive(ctx, r, linux)
	must(t, err)
	defer img.Close()
	if _, err := content(&img.Layers[0]); err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := img.Finish(waiting); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	rd, err := img.Layers[1].Open(waiting)
	if err == nil {
		_, err = io.ReadAll(rd)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	w.Write(data[len(data)-2048:])
	w.Close()
	simple(t).check(t, img)
}

// TestOddArchives are archives as other tools and enemies write them.
func TestOddArchives(t *testing.T) {
	ti := simple(t)
	fresh := func() *pack { p := newPack(); return p.index(p.image(t, ti)) }
	rename := func(p *pack, name func(string) string) *pack {
		q := newPack()
		for _, n := range p.names {
			q.add(name(n), p.files[n])
		}
		return q
	}
	both := func(t *testing.T, data []byte, check func(*Image, error)) {
		t.Helper()
		check(OpenArchive(ctx, pipe(data, nil), linux))
		file := filepath.Join(t.TempDir(), "f")
		must(t, os.WriteFile(file, data, 0o666))
		check(OpenPath(ctx, file, linux))
		f, err := os.Open(file)
		must(t, err)
		check(OpenArchive(ctx, f, linux))
	}
	ok := func(t *testing.T, data []byte) {
		t.Helper()
		both(t, data, func(img *Image, err error) {
			t.Helper()
			must(t, err)
			ti.check(t, img)
		})
	}
	refused := func(t *testing.T, data []byte, want error, says string) {
		t.Helper()
		both(t, data, func(img *Image, err error) {
			t.Helper()
			if err == nil {
				err = img.Finish(ctx)
			}
			if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want %v with %q", err, want, says)
			}
		})
	}
	t.Run("./ before names", func(t *testing.T) {
		ok(t, rename(fresh(), func(n string) string { return "./" + n }).tar(t))
	})
	t.Run("names that climb", func(t *testing.T) {
		ok(t, rename(fresh(), func(n string) string { return "../../" + n }).tar(t))
	})
	t.Run("blobs linked", func(t *testing.T) {
		p, q := fresh(), newPack()
		for i, n := range p.names {
			if strings.HasPrefix(n, layout.Blobs) {
				q.add(fmt.Sprint("data/", i), p.files[n])
				q.link(n, "../../data/"+fmt.Sprint(i))
			} else {
				q.add(n, p.files[n])
			}
		}
		ok(t, q.tar(t))
	})
	t.Run("links in a circle", func(t *testing.T) {
		p := fresh()
		q := newPack()
		q.add(layout.Index, p.files[layout.Index])
		for n, data := range p.files {
			if strings.HasPrefix(n, layout.Blobs) && data[0] == '{' {
				q.link(n, filepath.Base(n))
			}
		}
		refused(t, q.tar(t), ErrCorrupt, "links")
	})
	t.Run("blob twice", func(t *testing.T) {
		ok(t, appendTar(fresh().tar(t), fresh().tar(t), func(h *tar.Header) bool { return strings.HasPrefix(h.Name, layout.Blobs) }))
	})
	t.Run("blob twice, the second wrong", func(t *testing.T) {
		wrong := fresh()
		for n, data := range wrong.files {
			wrong.files[n] = append(bytes.Clone(data), 'x')
		}
		ok(t, appendTar(fresh().tar(t), wrong.tar(t), func(h *tar.Header) bool { return strings.HasPrefix(h.Name, layout.Blobs) }))
	})
	t.Run("index twice", func(t *testing.T) {
		refused(t, appendTar(fresh().tar(t), fresh().tar(t), func(*tar.Header) bool { return true }), ErrCorrupt, "index.json is there twice")
	})
	t.Run("no manifest", func(t *testing.T) {
		p := newPack().index(fresh().image(t, ti))
		refused(t, p.tar(t), ErrNotFound, "blobs/sha256/")
	})
	t.Run("a layer", func(t *testing.T) { refused(t, layerTar(t, "etc/passwd", "x"), ErrUnsupported, "not an image archive") })
	t.Run("no tar", func(t *testing.T) { refused(t, bytes.Repeat([]byte("junk"), 1000), ErrCorrupt, "archive: byte 512") })
	t.Run("before docker 1.10", func(t *testing.T) {
		p := newPack()
		p.add(legacyName, []byte("{}"))
		refused(t, p.tar(t), ErrUnsupported, "docker before 1.10")
	})
	t.Run("claims much", func(t *testing.T) {
		var buf bytes.Buffer
		tar.NewWriter(&buf).WriteHeader(&tar.Header{Name: layout.Index, Size: 1 << 60, Format: tar.FormatGNU})
		err := readAll(pipe(buf.Bytes(), nil))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
	t.Run("sparse", func(t *testing.T) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		must(t, w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 0}))
		must(t, w.Close())
		data := buf.Bytes()
		data[156] = 'S' // type
		copy(data[257:], "ustar  \x00")
		fixSum(data[:512])
		refused(t, data, ErrUnsupported, "sparse")
	})
}

// appendTar is a with the entries of b that pass keep behind it, as tar -r adds them.
func appendTar(a, b []byte, keep func(*tar.Header) bool) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i, data := range [][]byte{a, b} {
		for tr := tar.NewReader(bytes.NewReader(data)); ; {
			h, err := tr.Next()
			if err != nil {
				break
			}
			if i == 0 || keep(h) {
				w.WriteHeader(h)
				io.Copy(w, tr)
			}
		}
	}
	w.Close()
	return buf.Bytes()
}

// fixSum writes the checksum of a tar header.
func fixSum(h []byte) {
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// TestStdinOffset reads an archive that begins in the middle of a file.
func TestStdinOffset(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, append([]byte("before"), ours(t, simple(t))...), 0o666))
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	_, err = f.Seek(6, io.SeekStart)
	must(t, err)
	img, err := OpenArchive(ctx, f, linux)
	must(t, err)
	simple(t).check(t, img)
}

// TestLargeFile has an entry of 9 GiB, a hole, before everything else.
func TestLargeFile(t *testing.T) {
	const size = 9 << 30
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	must(t, err)
	defer f.Close()
	w := tar.NewWriter(f)
	must(t, w.WriteHeader(&tar.Header{Name: "large", Typeflag: tar.TypeReg, Size: size}))
	end, err := f.Seek(size, io.SeekCurrent)
	must(t, err)
	_, err = f.Write(ours(t, simple(t)))
	must(t, err)
	_, err = f.Seek(0, io.SeekStart)
	must(t, err)
	img, err := OpenArchive(ctx, f, linux)
	must(t, err)
	simple(t).check(t, img)
	must(t, f.Truncate(end-1))
	var cut *cutError
	if _, err := OpenArchive(ctx, f, linux); !errors.As(err, &cut) {
		t.Error(err)
	}
}

func TestSpoolLeavesNothing(t *testing.T) {
	opts := linux
	opts.TmpDir = t.TempDir()
	img, err := OpenArchive(ctx, pipe(ours(t, simple(t)), nil), opts)
	must(t, err)
	left, err := os.ReadDir(opts.TmpDir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
	must(t, img.Close())
	opts.TmpDir = "/no/such"
	if _, err := OpenArchive(ctx, pipe(ours(t, simple(t)), nil), opts); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
