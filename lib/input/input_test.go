package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/tree"
)

// files writes an image as a layout directory, as archives of both kinds, and layers,
// and returns the directory that they are in.
func files(t *testing.T) string {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(t, os.WriteFile(path, data, 0o666))
	}
	base := tarOf(t, file{"a", "1"}, file{"b/c", "22"})
	for _, f := range ociFiles(t, base) {
		write("layout/"+f.name, []byte(f.content))
	}
	write("oci", tarOf(t, ociFiles(t, base)...))
	write("oci.gz", pack(t, "gzip", tarOf(t, ociFiles(t, base)...)))
	write("docker", tarOf(t, dockerFiles(t, base)...))
	write("base", base)
	write("one", tarOf(t, file{".wh.a", ""}, file{"init", "333"}))
	write("two", pack(t, "zstd", tarOf(t, file{"b/.wh..wh..opq", ""}, file{"b/d", "4444"})))
	return dir
}

// TestLayersOnImage shows that layers above an image act as layers above its layers.
func TestLayersOnImage(t *testing.T) {
	dir := files(t)
	in := func(names ...string) (paths []string) {
		for _, n := range names {
			if n != "-" {
				n = filepath.Join(dir, n)
			}
			paths = append(paths, n)
		}
		return paths
	}
	for _, first := range []string{"base", "oci", "oci.gz", "docker", "layout"} {
		list, isImage, err := names(t, in(first, "one", "two"), Options{})
		if err != nil || list != ". b b/d init" || isImage != (first != "base") {
			t.Errorf("%s: tree %q, image %v, %v", first, list, isImage, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "docker"))
	must(t, err)
	stdin := given(t, data, true)
	open := func(path string) (io.ReadCloser, error) {
		if path == "-" {
			return stdin(path)
		}
		return os.Open(path)
	}
	if list, _, err := names(t, in("-", "one"), Options{Open: open}); err != nil || list != ". b b/c init" {
		t.Errorf("from a pipe: tree %q, %v", list, err)
	}
	for _, c := range []struct {
		says  string
		kind  Kind
		names []string
	}{
		{"docker: an image, which only the first", Auto, []string{"oci", "docker"}},
		{"layout: an image, which only the first", Auto, []string{"oci", "one", "layout"}},
		{"oci.gz: an image, which only the first", Auto, []string{"one", "oci.gz"}},
		{"layout: an image, which only the first", "", []string{"one", "layout"}},
		{"one: not an image archive", Image, []string{"one", "two"}},
		{"layout: read: is a directory", Layer, []string{"layout", "two"}},
		{"no such file", Auto, []string{"oci", "none"}},
	} {
		if _, _, err := names(t, in(c.names...), Options{Kind: c.kind}); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "read "+dir+"/layout", "layout: read"), c.says) {
			t.Errorf("%v: got %v, want %q", c.names, err, c.says)
		} else if m := (*MisplacedError)(nil); errors.As(err, &m) != strings.Contains(c.says, "only the first") || m != nil && m.AfterImage == (c.names[0] == "one") {
			t.Errorf("%v: got %+v", c.names, m)
		}
	}
}

func TestProperties(t *testing.T) {
	dir := files(t)
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"oci"}, "manifest layers=1"},
		{[]string{"oci", "one"}, "layers=2"},
		{[]string{"base", "one"}, "layers=2"},
	} {
		var paths []string
		for _, n := range c.names {
			paths = append(paths, filepath.Join(dir, n))
		}
		set, err := Open(context.Background(), paths, Options{})
		must(t, err)
		src, props, err := set.Merge(context.Background(), "", layer.LoadOptions{SpoolDir: t.TempDir(), Limits: tree.Limits{Entries: 9, Depth: 9, FileSize: 9, TotalSize: 99}})
		must(t, err)
		must(t, src.Close())
		must(t, set.Close())
		var have []string
		for _, p := range props {
			if p.Key == "manifest" {
				p.Value = ""
			}
			have = append(have, strings.TrimSuffix(p.Key+"="+p.Value, "="))
		}
		if got := strings.Join(have, " "); got != c.want {
			t.Errorf("%v: properties %q, want %q", c.names, got, c.want)
		}
	}
}

// TrustDiffIDs accepts a layer that is not the one that the configuration names, and one
// without an end; a blob that is not the one that the manifest names is never accepted.
func TestTrustDiffIDs(t *testing.T) {
	l := tarOf(t, file{"a", "1"})
	open := l[:len(l)-1024] // without the two blocks of its end
	other := tarOf(t, file{"a", "2"})
	for _, c := range []struct {
		name               string
		files              []file
		verified, trusting bool
	}{
		{"right", ociFiles(t, l), true, true},
		{"unterminated", ociFiles(t, open), true, true},
		{"other layer", ociFilesWithIDs(t, []string{"sha256:" + sha("other")}, l), false, true},
		{"other blob", replaced(ociFiles(t, l), string(l), string(other)), false, false},
	} {
		for _, trust := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "image")
			must(t, os.WriteFile(path, tarOf(t, c.files...), 0o666))
			set, err := Open(context.Background(), []string{path}, Options{TrustDiffIDs: trust})
			must(t, err)
			src, _, err := set.Merge(context.Background(), "", layer.LoadOptions{SpoolDir: t.TempDir()})
			if err == nil {
				must(t, src.Close())
			}
			must(t, set.Close())
			if want := trust && c.trusting || !trust && c.verified; (err == nil) != want {
				t.Errorf("%s, trusting %v: %v", c.name, trust, err)
			}
		}
	}
}

// Each wrong byte of a layer that is not compressed is found, also after the end of its
// archive. And a blob in gzip does not pass for its own unpacked layer.
func TestWrongByte(t *testing.T) {
	l := append(tarOf(t, file{"a", "1"}), make([]byte, 1024)...)
	gz := pack(t, "gzip", l)
	check := func(name string, want bool, files []file) {
		path := filepath.Join(t.TempDir(), "image")
		must(t, os.WriteFile(path, tarOf(t, files...), 0o666))
		set, err := Open(context.Background(), []string{path}, Options{})
		if err == nil {
			var src tree.Source
			if src, _, err = set.Merge(context.Background(), "", layer.LoadOptions{SpoolDir: t.TempDir()}); err == nil {
				must(t, src.Close())
			}
			must(t, set.Close())
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, files := range map[string][]file{"oci": ociFiles(t, l), "docker": dockerFiles(t, l)} {
		check(name, true, files)
		for _, at := range []int{0, 100, 512, 600, 1024, len(l) - 1} {
			bad := slices.Clone(l)
			bad[at] ^= 1
			check(fmt.Sprintf("%s, byte %d", name, at), false, replaced(files, string(l), string(bad)))
		}
	}
	check("gzip", true, ociFilesWithIDs(t, []string{"sha256:" + sha(string(l))}, gz))
	check("gzip with its own digest", false, ociFilesWithIDs(t, []string{"sha256:" + sha(string(gz))}, gz))
}

// replaced returns files with another content of one of them.
func replaced(files []file, old, content string) []file {
	files = slices.Clone(files)
	for i := range files {
		if files[i].content == old {
			files[i].content = content
		}
	}
	return files
}

// TestCutBehindLayer shows that an archive is read to its end even if only one layer of it
// is read, and is found to be cut short there.
func TestCutBehindLayer(t *testing.T) {
	data := tarOf(t, ociFiles(t, tarOf(t, file{"a", "1"}), tarOf(t, file{"b", "2"}))...)
	for n, want := range map[int]error{len(data): io.EOF, len(data) - 1024: io.ErrUnexpectedEOF} {
		set, err := Open(context.Background(), []string{"-"}, Options{Open: given(t, data[:n], true)})
		must(t, err)
		src, _, err := set.SingleLayer(context.Background(), "0", false, layer.LoadOptions{Limits: tree.Limits{Entries: 9, Depth: 9, FileSize: 9, TotalSize: 99}})
		must(t, err)
		for err == nil {
			_, err = src.Next()
		}
		if !errors.Is(err, want) {
			t.Errorf("%d of %d bytes: %v, want %v", n, len(data), err, want)
		}
		must(t, src.Close())
	}
}

// TestSilentPipe: with an input from which nothing comes Open waits no longer than its
// context.
func TestSilentPipe(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Open(ctx, []string{"-"}, Options{Open: func(string) (io.ReadCloser, error) { return r, nil }})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it still waits")
	}
}

// TestOfImage merges an image that was opened elsewhere, and closes it.
func TestOfImage(t *testing.T) {
	dir := files(t)
	img, err := oci.OpenPath(context.Background(), filepath.Join(dir, "layout"), oci.Options{})
	must(t, err)
	src, props, err := OfImage(img, Options{}).Merge(context.Background(), "", layer.LoadOptions{SpoolDir: t.TempDir()})
	must(t, err)
	if len(props) != 2 || props[0].Value != string(img.Digest) {
		t.Errorf("properties %v", props)
	}
	var list []string
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		list = append(list, e.Path)
	}
	must(t, src.Close())
	if got := strings.Join(list, " "); got != ". a b b/c" {
		t.Errorf("tree %q", got)
	}
}
