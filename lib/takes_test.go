package lib_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

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
		var in bytes.Buffer
		w := tar.NewWriter(&in)
		for _, h := range headers {
			h.Format = tar.FormatPAX
			must[int](t)(0, w.WriteHeader(&h))
			must[int](t)(w.Write(sparse[int64(len(sparse))-h.Size:]))
		}
		must[int](t)(0, w.Close())
		image := func(takes bool) []byte {
			src := must[*layer.Reader](t)(layer.NewReader(bytes.NewReader(in.Bytes()), layer.Options{GivesAway: takes}))
			defer src.Close()
			out := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "image")))
			defer out.Close()
			opts := erofs.Options{Layer: true, Clamp: &clamp, SpoolDir: t.TempDir(), TakesEntries: takes}
			must[int](t)(0, tree.Copy(context.Background(), must[*erofs.Writer](t)(erofs.NewWriter(t.Context(), out, opts)), src))
			return must[[]byte](t)(io.ReadAll(io.NewSectionReader(out, 0, 1<<40)))
		}
		if copied, taken := image(false), image(true); !bytes.Equal(copied, taken) {
			t.Errorf("%s: images of %d and %d bytes differ", name, len(copied), len(taken))
		}
	}
}
