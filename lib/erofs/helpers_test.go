package erofs

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/tree"
)

// write makes an image file of entries, with a check of what was written.
func write(t testing.TB, opts Options, entries ...tree.Entry) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	opts.Check = opts.Compression == nil
	if err := writeTo(f, opts, entries); err != nil {
		t.Fatal(err)
	}
	return f
}

func writeTo(out Output, opts Options, entries []tree.Entry) error {
	w, err := NewWriter(context.Background(), out, opts)
	if err != nil {
		return err
	}
	for i := range entries {
		if err := w.Add(&entries[i]); err != nil {
			w.Close()
			return err
		}
	}
	return w.Close()
}

func build(t testing.TB, opts Options, entries ...tree.Entry) []byte {
	t.Helper()
	m := &image{}
	opts.Check = opts.Compression == nil
	if err := writeTo(m, opts, entries); err != nil {
		t.Fatal(err)
	}
	return m.B
}

// Short names for what the tests are full of.
var (
	dir, file, sparse, symlink, hardlink, lowerLink, device = erofstest.Dir, erofstest.File, erofstest.Sparse, erofstest.Symlink, erofstest.Hardlink, erofstest.LowerLink, erofstest.Device

	with, withAll, xattrs, orElse, pattern = erofstest.With, erofstest.WithAll, erofstest.Xattrs, erofstest.OrElse, erofstest.Pattern

	corpus, layer, orElseLayer, stack = erofstest.Corpus, erofstest.Layer, erofstest.OrElseLayer, erofstest.Stack

	stream, list, canonical, firstDifference, merged = erofstest.Stream, erofstest.List, erofstest.Canonical, erofstest.FirstDifference, erofstest.Merged

	open, drain, find, rawXattrs, sign, dropChecksum = erofstest.Open, erofstest.Drain, erofstest.Find, erofstest.RawXattrs, erofstest.Sign, erofstest.DropChecksum
)

type (
	data  = erofstest.Data
	image = erofstest.Image
)
