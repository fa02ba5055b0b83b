package read_test

import (
	"strings"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/internal/erofstest"
	"ocipipe/lib/tree"
)

// victim is an image for tests that break it, without a checksum. Its blocks are
// small so that files have several.
func victim(t testing.TB) []byte {
	label := strings.Repeat("l", 40)
	b := build(t, erofs.Options{BlockSize: 512, UUID: new([16]byte)},
		dir("."),
		xattrs(file("big", pattern(1, 3000)), "user.a", "b", "security.selinux", label),
		xattrs(file("inline", pattern(2, 100)), "security.selinux", label),
		hardlink("hard", "big"),
		sparse("sparse", 100000, []tree.Extent{{Off: 512, Len: 1024}, {Off: 50000, Len: 10}}),
		symlink("link", "target"),
		dir("sub"), file("sub/one", nil), file("sub/two", nil), dir("sub/dir"),
	)
	dropChecksum(b)
	if err := drain(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// build makes an image of entries, in memory, and lets the writer check it.
func build(t testing.TB, opts erofs.Options, entries ...tree.Entry) []byte {
	t.Helper()
	m := &erofstest.Image{}
	opts.Check = true
	w, err := erofs.NewWriter(t.Context(), m, opts)
	if err != nil {
		t.Fatal(err)
	}
	erofstest.Fill(t, w, entries...)
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
