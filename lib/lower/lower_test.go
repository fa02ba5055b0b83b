package lower

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

func dir(path string) tree.Entry { return tree.Entry{Path: path, Type: tree.Dir, Mode: 0o755} }

func file(path, content string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Size: int64(len(content)), Content: tree.Bytes(content)}
}

func whiteout(path string) tree.Entry { return tree.Entry{Path: path, Type: tree.Char} }

// source makes a layer of entries.
func source(t *testing.T, entries ...tree.Entry) tree.Source {
	t.Helper()
	layer := tree.New()
	for _, e := range entries {
		if _, err := layer.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	return layer.Source(tree.Layer)
}

func write(t *testing.T, sink tree.Sink, err error, entries ...tree.Entry) {
	t.Helper()
	if err == nil {
		err = tree.Copy(context.Background(), sink, source(t, entries...))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func erofsImage(t *testing.T, layer bool, entries ...tree.Entry) *os.File {
	t.Helper()
	f := create(t, "erofs")
	w, err := erofs.NewWriter(t.Context(), f, erofs.Options{Layer: layer})
	write(t, w, err, entries...)
	return f
}

func ext4Image(t *testing.T, entries ...tree.Entry) *os.File {
	t.Helper()
	f := create(t, "ext4")
	w, err := ext4.NewWriter(t.Context(), f, ext4.Options{Size: 64 << 20})
	write(t, w, err, entries...)
	return f
}

func stream(t *testing.T, entries ...tree.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	write(t, tree.NewWriter(&b, tree.WriterOptions{}), nil, entries...)
	return b.Bytes()
}

// listing is what is in the tree: paths and contents.
func listing(t *testing.T, l *Lower) string {
	t.Helper()
	src, list := l.Source(tree.Flat), ""
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list += e.Path
		if e.Content != nil {
			var b strings.Builder
			if err := tree.WriteExpanded(&b, e); err != nil {
				t.Errorf("%s: %v", e.Path, err)
			}
			list += "=" + b.String()
		}
		list += " "
	}
}

// Inputs of all kinds are layers of one tree, and what is below is hidden.
func TestMerge(t *testing.T) {
	hole := tree.Entry{Path: "hole", Type: tree.File, Size: 6, Extents: []tree.Extent{{Off: 2, Len: 3}}, Content: tree.Bytes("abc")}
	opaque := dir("o")
	opaque.Xattrs = []tree.Xattr{tree.Opaque}
	part, whole := stream(t, dir("."), whiteout("c"), hole), stream(t, dir("."), file("d", "5"))
	regular := create(t, "stream")
	if _, err := regular.Write(whole); err != nil {
		t.Fatal(err)
	}
	ahead := create(t, "ahead")
	if _, err := ahead.WriteString("before" + string(whole)); err != nil {
		t.Fatal(err)
	}
	ahead.Seek(int64(len("before")), io.SeekStart)
	l, err := Merge(t.Context(), []Input{
		{Name: "ext4", R: ext4Image(t, dir("."), file("a", "1"), file("b", "1"), dir("o"), file("o/old", "1"))},
		{Name: "layer", R: erofsImage(t, true, dir("."), whiteout("a"), file("c", "2"), opaque, file("o/new", "2"))},
		{Name: "flat", R: erofsImage(t, false, dir("."), file("b", "3"))},
		{Name: "pipe", R: io.NopCloser(bytes.NewReader(part))},
		{Name: "regular", R: regular},
		{Name: "stdin", R: ahead, Stream: true},
	}, Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if have := listing(t, l); have != ". b=3 d=5 hole=\x00\x00abc\x00 o o/new=2 " {
		t.Errorf("%q", have)
	}
	if _, ok := l.Lookup("o").Entry.Xattr(tree.Opaque.Name); ok {
		t.Error("a mark of a layer is left")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestDevices(t *testing.T) {
	layer := erofsImage(t, true, dir("."), file("a", strings.Repeat("1", 5000)))
	devices, of, err := erofsread.Devices([]*os.File{layer})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := merge.Open(devices, of)
	if err != nil {
		t.Fatal(err)
	}
	meta := create(t, "meta")
	if err := erofs.WriteFsmeta(t.Context(), meta, layers, tree.Limits{}, erofs.Options{}); err != nil {
		t.Fatal(err)
	}
	l, err := Merge(t.Context(), []Input{{Name: "meta", R: meta, Devices: []*os.File{layer}}, {Name: "s", R: io.NopCloser(bytes.NewReader(stream(t, file("b", "2"))))}}, Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if have := listing(t, l); have != ". a="+strings.Repeat("1", 5000)+" b=2 " {
		t.Errorf("%.100q", have)
	}
}

func TestRefuses(t *testing.T) {
	image := erofsImage(t, false, dir("."), file("a", "1"))
	junk := create(t, "junk")
	if _, err := junk.WriteString(strings.Repeat("\x01\x02", 5000)); err != nil {
		t.Fatal(err)
	}
	layer := create(t, "layer")
	if _, err := layer.WriteString("a" + strings.Repeat("\x00", 256) + "ustar" + strings.Repeat("\x00", 4096)); err != nil {
		t.Fatal(err)
	}
	directory, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	in := func(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
	good := stream(t, dir("."), file("a", "1"))
	for name, c := range map[string]struct {
		in   Input
		want string
		is   error
	}{
		"junk":                {Input{R: junk}, "in: neither an image of EROFS or ext4 nor a tree stream", tree.ErrForeign},
		"a layer":             {Input{R: layer}, "in: is a tar archive, not an EROFS or ext4 image or a tree stream", tree.ErrForeign},
		"directory":           {Input{R: directory}, "is a directory", nil},
		"image as a stream":   {Input{R: image, Stream: true}, "in: ", tree.ErrForeign},
		"cut":                 {Input{R: in(good[:len(good)-60])}, "in: ", io.ErrUnexpectedEOF},
		"without contents":    {Input{R: in([]byte("#mtree ocipipe-tree 1 data=none\n"))}, "in: ", nil},
		"devices of a stream": {Input{R: in(good), Devices: []*os.File{image}}, "in: devices are for an EROFS image", nil},
		"devices of ext4":     {Input{R: ext4Image(t, dir(".")), Devices: []*os.File{image}}, "in: devices are for an EROFS image", nil},
		"over a limit":        {Input{R: image}, "over the limit", nil},
	} {
		c.in.Name = "in"
		limits := tree.Limits{}
		if name == "over a limit" {
			limits.Entries = 1
		}
		before := erofsImage(t, false, dir("."))
		_, err := Merge(t.Context(), []Input{{Name: "before", R: before}, c.in}, Options{SpoolDir: t.TempDir(), Limits: limits})
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error %v, expected %s", name, err, c.want)
		}
	}
}

// The visitor sees the entries of images, with the marks and xattrs that a merge leaves out,
// and its error ends the merge.
func TestVisit(t *testing.T) {
	marked := file("a", "1")
	marked.Xattrs = []tree.Xattr{{Name: "trusted.overlay.redirect", Value: "/x"}}
	again := tree.Entry{Path: "b", Type: tree.File, Mode: 0o644, Size: 1, Hardlink: "a"}
	var seen [2]map[string]uint64
	for i := range seen {
		seen[i] = make(map[string]uint64)
	}
	inputs := []Input{
		{Name: "ext4", R: ext4Image(t, dir("."), marked, again, file("c", "2"))},
		{Name: "erofs", R: erofsImage(t, false, dir("."), marked, again, file("c", "2"))},
	}
	l, err := Merge(t.Context(), append(inputs, Input{Name: "stream", R: io.NopCloser(bytes.NewReader(stream(t, dir("."))))}), Options{
		SpoolDir: t.TempDir(), Visit: func(input int, inode uint64, e *tree.Entry) error {
			seen[input][e.Path] = inode
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i, in := range seen {
		if len(in) != 4 || in["a"] != in["b"] || in["a"] == in["c"] || in["c"] == 0 {
			t.Errorf("input %d: %v", i, in)
		}
		if l.UUIDs[i] == nil || *l.UUIDs[i] == [16]byte{} {
			t.Errorf("input %d has no UUID", i)
		}
	}
	if l.UUIDs[2] != nil {
		t.Error("a stream has a UUID")
	}
	wrong := errors.New("wrong")
	_, err = Merge(t.Context(), inputs, Options{Visit: func(input int, _ uint64, e *tree.Entry) error {
		if input == 1 && e.Path == "c" {
			return wrong
		}
		return nil
	}})
	if !errors.Is(err, wrong) || !strings.HasPrefix(err.Error(), "erofs: ") {
		t.Errorf("error %v", err)
	}
}

// A stream that never ends does not keep the error of an image from its user.
func TestInterrupt(t *testing.T) {
	image := erofsImage(t, true, dir("."), file("a", strings.Repeat("x", 9000)))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	w.Write(stream(t, dir("."))[:80])
	spools := t.TempDir()
	_, err = Merge(t.Context(), []Input{{Name: "pipe", R: r}, {Name: "image", R: image}}, Options{SpoolDir: spools, Limits: tree.Limits{FileSize: 10}})
	if err == nil || !strings.Contains(err.Error(), "image: a: file of 9000 bytes") {
		t.Errorf("error %v", err)
	}
}
