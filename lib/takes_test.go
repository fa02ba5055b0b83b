package lib_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/erofs"
	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// TestTakes shows that an image is the same whether its writer copies the entries of a layer
// or takes them, in which the reader looks up the targets of later hard links. Options of the
// writer change the entries.
func TestTakes(t *testing.T) {
	clamp := tree.Time{Sec: 1000}
	sparse := append(make([]byte, 1<<20), "end"...)
	attrs := map[string]string{"SCHILY.xattr.user.kept": "1", "SCHILY.xattr.unknown.dropped": "1"}
	for name, headers := range map[string][]tar.Header{
		"links": {
			{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700},
			{Name: "d/file", Typeflag: tar.TypeReg, Size: int64(len(sparse)), PAXRecords: attrs},
			{Name: "d/symlink", Typeflag: tar.TypeSymlink, Linkname: "file"},
			{Name: "to", Typeflag: tar.TypeSymlink, Linkname: "d"},
			{Name: "a", Typeflag: tar.TypeLink, Linkname: "d/file"},
			{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"},
			{Name: "to/c", Typeflag: tar.TypeLink, Linkname: "d/symlink"},
			{Name: "d/file", Typeflag: tar.TypeReg, Size: 5, PAXRecords: attrs},
			{Name: "e", Typeflag: tar.TypeLink, Linkname: "to/file"},
		},
		"links that wait": {
			{Name: "a", Typeflag: tar.TypeLink, Linkname: "file"},
			{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"},
			{Name: "c", Typeflag: tar.TypeLink, Linkname: "below"},
			{Name: ".wh.new", Typeflag: tar.TypeReg},
			{Name: "e", Typeflag: tar.TypeLink, Linkname: "new"},
			{Name: "file", Typeflag: tar.TypeReg, Size: int64(len(sparse)), PAXRecords: attrs},
			{Name: "d", Typeflag: tar.TypeLink, Linkname: "b"},
			{Name: "new", Typeflag: tar.TypeReg, Size: 7},
		},
		"aufs": {
			{Name: ".wh..wh.plnk/1.2", Typeflag: tar.TypeReg, Size: 9},
			{Name: "a", Typeflag: tar.TypeLink, Linkname: ".wh..wh.plnk/1.2"},
			{Name: "b", Typeflag: tar.TypeLink, Linkname: ".wh..wh.plnk/1.2"},
			{Name: "c", Typeflag: tar.TypeLink, Linkname: "b"},
		},
	} {
		in := layerOf(t, headers, sparse)
		copied, err := imageOf(t, in, clamp, false)
		taken, takenErr := imageOf(t, in, clamp, true)
		if err != nil || takenErr != nil || !bytes.Equal(copied, taken) {
			t.Errorf("%s: images of %d and %d bytes differ: %v, %v", name, len(copied), len(taken), err, takenErr)
		}
	}
}

// TestTakesAny is TestTakes with layers made at random, many of which are refused. A tree that
// takes the entries is the same as one that copies them, too.
func TestTakesAny(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	names := []string{"a", "b", "d", "d/a", "d/b", "d/e/a", "to", "to/a", ".wh..wh.plnk/1", ".wh..wh.plnk/2"}
	marks := []string{".wh.a", "d/.wh.b", ".wh.d", "d/.wh..wh..opq", ".wh..wh..opq", "to/.wh.a"}
	data := append(make([]byte, 8<<10), "end"...)
	good := 0
	for range 300 {
		var headers []tar.Header
		for range 2 + rnd.IntN(9) {
			h := tar.Header{Name: names[rnd.IntN(len(names))], Typeflag: tar.TypeReg, Mode: rnd.Int64N(0o1000), ModTime: time.Unix(rnd.Int64N(2000), 0)}
			switch rnd.IntN(8) {
			case 0:
				h.Name = marks[rnd.IntN(len(marks))]
			case 1:
				h.Name, h.Typeflag = "d/", tar.TypeDir
			case 2:
				h.Typeflag, h.Linkname = tar.TypeSymlink, "d"
			case 3, 4, 5:
				h.Typeflag, h.Linkname = tar.TypeLink, names[rnd.IntN(len(names))]
			default:
				h.Size = rnd.Int64N(int64(len(data)))
				h.PAXRecords = map[string]string{"SCHILY.xattr.user.kept": "1", "SCHILY.xattr.unknown.dropped": "1"}
			}
			headers = append(headers, h)
		}
		in := layerOf(t, headers, data)
		copied, err := imageOf(t, in, tree.Time{Sec: 1000}, false)
		taken, takenErr := imageOf(t, in, tree.Time{Sec: 1000}, true)
		if fmt.Sprint(err) != fmt.Sprint(takenErr) || !bytes.Equal(copied, taken) {
			t.Fatalf("%+v: images of %d and %d bytes differ: %v, %v", headers, len(copied), len(taken), err, takenErr)
		}
		if copied, taken := recordsOf(t, in, false), recordsOf(t, in, true); copied != taken {
			t.Fatalf("%+v: the tree is %s, not %s", headers, taken, copied)
		}
		if err == nil {
			good++
		}
	}
	if good < 100 {
		t.Errorf("only %d layers are good", good)
	}
}

// layerOf returns a layer. Files have the last bytes of data.
func layerOf(t *testing.T, headers []tar.Header, data []byte) []byte {
	t.Helper()
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	for _, h := range headers {
		h.Format = tar.FormatPAX
		must[int](t)(0, w.WriteHeader(&h))
		must[int](t)(w.Write(data[int64(len(data))-h.Size:]))
	}
	must[int](t)(0, w.Close())
	return in.Bytes()
}

// imageOf returns the image of a layer whose entries the writer takes or copies.
func imageOf(t *testing.T, in []byte, clamp tree.Time, takes bool) ([]byte, error) {
	t.Helper()
	src := must[*layer.Reader](t)(layer.NewReader(bytes.NewReader(in), layer.Options{GivesAway: takes}))
	defer src.Close()
	out := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "image")))
	defer out.Close()
	opts := erofs.Options{Layer: true, Clamp: &clamp, SpoolDir: t.TempDir(), TakesEntries: takes}
	if err := tree.Copy(t.Context(), must[*erofs.Writer](t)(erofs.NewWriter(t.Context(), out, opts)), src); err != nil {
		return nil, err
	}
	return must[[]byte](t)(io.ReadAll(io.NewSectionReader(out, 0, 1<<40))), nil
}

// recordsOf returns the records, or the error, of a tree that takes or copies the entries of
// a layer.
func recordsOf(t *testing.T, in []byte, takes bool) string {
	t.Helper()
	src := must[*layer.Reader](t)(layer.NewReader(bytes.NewReader(in), layer.Options{GivesAway: takes}))
	defer src.Close()
	read := tree.ReadLayer
	if takes {
		read = tree.TakeLayer
	}
	made, err := read(src, func(*tree.Entry) (tree.Content, error) { return nil, nil })
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for records := made.Source(tree.Layer); ; {
		e, err := records.Next()
		if err == io.EOF {
			return text.String()
		}
		fmt.Fprintln(&text, tree.Record(must[*tree.Entry](t)(e, err)))
	}
}
