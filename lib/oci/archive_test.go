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
	"ocipipe/lib/magic"
	"ocipipe/lib/oci/ocitest"
)

// ours is the archive that WriteArchive makes of ti.
func ours(t testing.TB, ti ocitest.Image) []byte {
	t.Helper()
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ti), "v1"))
	img, err := OpenPath(ctx, p.Dir(t), linux)
	must(t, err)
	var buf bytes.Buffer
	must(t, WriteArchive(ctx, &buf, img))
	return buf.Bytes()
}

func TestWriteArchive(t *testing.T) {
	ti := ocitest.Simple(t)
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
		d := func(how string, i int) string {
			return digest.FromBytes(ocitest.Compress(t, how, ti.Layers[i])).Encoded()
		}
		if len(names) != 8 || names[0] != layout.File || names[1] != layout.Index ||
			names[6] != "blobs/sha256/"+d("gzip", 0) || names[7] != "blobs/sha256/"+d("gzip", 1) {
			t.Errorf("entries %q", names)
		}
	})
	t.Run("again, from a pipe", func(t *testing.T) {
		img, err := OpenArchive(ctx, ocitest.Pipe(want, nil), linux)
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
		img, err := OpenArchive(ctx, ocitest.Pipe(want, nil), linux)
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
		ti := ocitest.Image{Platform: ocitest.AMD64, Algorithm: digest.SHA512}
		img, err := OpenArchive(ctx, io.NopCloser(bytes.NewReader(ours(t, ti))), linux)
		must(t, err)
		check(t, ti, img)
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
	return img.Drain(ctx)
}

func TestCutArchive(t *testing.T) {
	plain := ocitest.Simple(t)
	docker := ocitest.NewPack().DockerSave(t, ocitest.Simple(t), "x:y").Tar(t)
	unordered := ocitest.NewPack()
	unordered.Index(unordered.Image(t, plain))
	for name, data := range map[string][]byte{"ours": ours(t, plain), "unordered": unordered.Tar(t), "docker": docker} {
		t.Run(name, func(t *testing.T) {
			must(t, readAll(ocitest.Pipe(data, nil)))
			must(t, readAll(ocitest.Pipe(append(bytes.Clone(data), make([]byte, 10000)...), nil))) // padding of GNU tar
			file := filepath.Join(t.TempDir(), "f")
			for n := range len(data) {
				if n%512 > 1 && n%512 < 511 && n%97 != 0 {
					continue
				}
				err := readAll(ocitest.Pipe(data[:n], nil))
				want := fmt.Sprintf("cut short at byte %d (see", n)
				if n == 0 {
					want = "the input is empty (see"
				}
				if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), want) {
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
		data := ocitest.Compress(t, "gzip", ours(t, plain))
		for n := 0; n < len(data); n += 7 {
			if err := readAll(ocitest.Pipe(data[:n], nil)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		}
	})
}

func TestBrokenPipe(t *testing.T) {
	data := ours(t, ocitest.Simple(t))
	broken := errors.New("input/output error")
	for n := 0; n < len(data); n += 300 {
		err := readAll(ocitest.Pipe(data[:n], broken))
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), fmt.Sprintf("byte %d", n)) {
			t.Fatalf("broken at %d: %v", n, err)
		}
	}
}

// TestFlippedArchive flips one bit anywhere. Either that is an error, or the bit has no
// effect: then everything that was read is right.
func TestFlippedArchive(t *testing.T) {
	ti := ocitest.Simple(t)
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
		img, err := OpenArchive(ctx, ocitest.Pipe(data, nil), linux)
		if err == nil {
			err = func() error {
				defer img.Close()
				if _, err := contents(img); err != nil {
					return err
				}
				if err := img.Drain(ctx); err != nil {
					return err
				}
				if img.Digest != good {
					t.Fatalf("byte %d: another image", at)
				}
				check(t, ti, img)
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

// TestConcurrentLayers reads all layers at once while they arrive, and checks that an error
// in the middle reaches each reader.
func TestConcurrentLayers(t *testing.T) {
	ti := ocitest.Image{Platform: ocitest.AMD64}
	for i := range 8 {
		ti.Layers = append(ti.Layers, ocitest.Layer(t, fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 300_000)))
	}
	data := ours(t, ti)
	each := func(img *Image) []error {
		errs := make([]error, len(img.Layers))
		var wg sync.WaitGroup
		for i := range img.Layers {
			wg.Go(func() { _, errs[i] = ocitest.Content(img.Layers[i].Open) })
		}
		wg.Wait()
		return errs
	}
	img, err := OpenArchive(ctx, ocitest.Pipe(data, nil), linux)
	must(t, err)
	defer img.Close()
	for i, err := range each(img) {
		if err != nil {
			t.Errorf("layer %d: %v", i, err)
		}
	}
	check(t, ti, img) // once more, from the spool

	half, err := OpenArchive(ctx, ocitest.Pipe(data[:len(data)/2], nil), linux)
	must(t, err)
	defer half.Close()
	for i, err := range each(half) {
		if got := err != nil; got != (i >= 3) || got && !errors.Is(err, io.ErrUnexpectedEOF) && i > 3 {
			t.Errorf("layer %d of a cut archive: %v", i, err)
		}
	}
}

// TestEarly checks that an image is known, and its first layer read, before the second
// layer is written.
func TestEarly(t *testing.T) {
	data := ours(t, ocitest.Simple(t))
	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	go w.Write(data[:len(data)-2048])
	img, err := OpenArchive(ctx, r, linux)
	must(t, err)
	defer img.Close()
	if _, err := ocitest.Content(img.Layers[0].Open); err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := img.Drain(waiting); !errors.Is(err, context.DeadlineExceeded) {
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
	check(t, ocitest.Simple(t), img)
}

// TestOddArchives are archives as other tools and enemies write them.
func TestOddArchives(t *testing.T) {
	ti := ocitest.Simple(t)
	fresh := func() *ocitest.Pack { p := ocitest.NewPack(); return p.Index(p.Image(t, ti)) }
	rename := func(p *ocitest.Pack, name func(string) string) *ocitest.Pack {
		q := ocitest.NewPack()
		for _, n := range p.Names {
			q.Add(name(n), p.Files[n])
		}
		return q
	}
	both := func(t *testing.T, data []byte, check func(*Image, error)) {
		t.Helper()
		check(OpenArchive(ctx, ocitest.Pipe(data, nil), linux))
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
			check(t, ti, img)
		})
	}
	refused := func(t *testing.T, data []byte, want error, says string) {
		t.Helper()
		both(t, data, func(img *Image, err error) {
			t.Helper()
			if err == nil {
				err = img.Drain(ctx)
			}
			if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want %v with %q", err, want, says)
			}
		})
	}
	t.Run("./ before names", func(t *testing.T) {
		ok(t, rename(fresh(), func(n string) string { return "./" + n }).Tar(t))
	})
	t.Run("names that climb", func(t *testing.T) {
		ok(t, rename(fresh(), func(n string) string { return "../../" + n }).Tar(t))
	})
	t.Run("blobs linked", func(t *testing.T) {
		p, q := fresh(), ocitest.NewPack()
		for i, n := range p.Names {
			if strings.HasPrefix(n, layout.Blobs) {
				q.Add(fmt.Sprint("data/", i), p.Files[n])
				q.Link(n, "../../data/"+fmt.Sprint(i))
			} else {
				q.Add(n, p.Files[n])
			}
		}
		ok(t, q.Tar(t))
	})
	t.Run("links in a circle", func(t *testing.T) {
		p := fresh()
		q := ocitest.NewPack()
		q.Add(layout.Index, p.Files[layout.Index])
		for n, data := range p.Files {
			if strings.HasPrefix(n, layout.Blobs) && data[0] == '{' {
				q.Link(n, filepath.Base(n))
			}
		}
		refused(t, q.Tar(t), ErrCorrupt, "links")
	})
	t.Run("blob twice", func(t *testing.T) {
		ok(t, appendTar(fresh().Tar(t), fresh().Tar(t), func(h *tar.Header) bool { return strings.HasPrefix(h.Name, layout.Blobs) }))
	})
	t.Run("blob twice, the second wrong", func(t *testing.T) {
		wrong := fresh()
		for n, data := range wrong.Files {
			wrong.Files[n] = append(bytes.Clone(data), 'x')
		}
		ok(t, appendTar(fresh().Tar(t), wrong.Tar(t), func(h *tar.Header) bool { return strings.HasPrefix(h.Name, layout.Blobs) }))
	})
	t.Run("index twice", func(t *testing.T) {
		refused(t, appendTar(fresh().Tar(t), fresh().Tar(t), func(*tar.Header) bool { return true }), ErrCorrupt, "index.json is there twice")
	})
	t.Run("no manifest", func(t *testing.T) {
		p := ocitest.NewPack().Index(fresh().Image(t, ti))
		refused(t, p.Tar(t), ErrNotFound, "blobs/sha256/")
	})
	t.Run("a layer", func(t *testing.T) {
		refused(t, ocitest.Layer(t, "etc/passwd", "x"), ErrUnsupported, "not an image archive")
	})
	t.Run("no tar", func(t *testing.T) { refused(t, bytes.Repeat([]byte{1, 2}, 1000), ErrCorrupt, "archive: byte 512") })
	t.Run("another kind", func(t *testing.T) {
		for _, c := range []struct{ data, is string }{
			{"text\n", "text"},
			{strings.Repeat("\x00", 1024) + "\xe2\xe1\xf5\xe0" + strings.Repeat("\x00", 3068), "an EROFS image"}, // begins as an empty tar
			{string(ocitest.Compress(t, "gzip", []byte("#mtree ocipipe-tree 1 data=inline\n"))), "a tree stream"},
		} {
			var foreign *magic.Error
			_, err := OpenArchive(ctx, ocitest.Pipe([]byte(c.data), nil), linux)
			if !errors.As(err, &foreign) || string(foreign.Is) != c.is || !strings.HasSuffix(err.Error(), "is "+c.is+", not an image archive") {
				t.Errorf("%s: %v", c.is, err)
			}
		}
	})
	t.Run("before docker 1.10", func(t *testing.T) {
		p := ocitest.NewPack()
		p.Add(legacyName, []byte("{}"))
		refused(t, p.Tar(t), ErrUnsupported, "docker before 1.10")
	})
	t.Run("claims much", func(t *testing.T) {
		var buf bytes.Buffer
		tar.NewWriter(&buf).WriteHeader(&tar.Header{Name: layout.Index, Size: 1 << 60, Format: tar.FormatGNU})
		err := readAll(ocitest.Pipe(buf.Bytes(), nil))
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

// appendTar returns a, followed by the entries of b for which keep is true, as tar -r adds
// them.
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
	must(t, os.WriteFile(name, append([]byte("before"), ours(t, ocitest.Simple(t))...), 0o666))
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	_, err = f.Seek(6, io.SeekStart)
	must(t, err)
	img, err := OpenArchive(ctx, f, linux)
	must(t, err)
	check(t, ocitest.Simple(t), img)
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
	_, err = f.Write(ours(t, ocitest.Simple(t)))
	must(t, err)
	_, err = f.Seek(0, io.SeekStart)
	must(t, err)
	img, err := OpenArchive(ctx, f, linux)
	must(t, err)
	check(t, ocitest.Simple(t), img)
	must(t, f.Truncate(end-1))
	var cut *cutError
	if _, err := OpenArchive(ctx, f, linux); !errors.As(err, &cut) {
		t.Error(err)
	}
}

func TestSpoolLeavesNothing(t *testing.T) {
	opts := linux
	opts.TmpDir = t.TempDir()
	img, err := OpenArchive(ctx, ocitest.Pipe(ours(t, ocitest.Simple(t)), nil), opts)
	must(t, err)
	left, err := os.ReadDir(opts.TmpDir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
	must(t, img.Close())
	opts.TmpDir = "/no/such"
	if _, err := OpenArchive(ctx, ocitest.Pipe(ours(t, ocitest.Simple(t)), nil), opts); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
