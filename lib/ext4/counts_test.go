package ext4

import (
	"testing"

	"ocipipe/lib/tree"
)

// TestCounts: a file system has what it was given, the directories that this implies, and those
// of its own.
func TestCounts(t *testing.T) {
	entries := []*tree.Entry{
		{Path: "a/b/f", Type: tree.File}, {Path: "h", Type: tree.File, Hardlink: "a/b/f"}, {Path: "i", Type: tree.File, Hardlink: "a/b/f"},
		{Path: "s", Type: tree.Link, Link: "a"}, {Path: "t", Type: tree.Link, Link: "a"}, {Path: "p", Type: tree.Fifo}, {Path: "q", Type: tree.Socket},
		{Path: "tty", Type: tree.Char, Dev: tree.Device{Major: 5}}, {Path: "disk", Type: tree.Block, Dev: tree.Device{Major: 8}},
		{Path: "hole", Type: tree.File, Size: 1 << 20, Extents: []tree.Extent{}},
	}
	var have tree.Counts
	build(t, Options{Counts: &have}, entries...)
	want := tree.Counts{Entries: 14, Files: 2, Directories: 4, Symlinks: 2, Hardlinks: 2, CharDevices: 1, BlockDevices: 1, Fifos: 1, Sockets: 1, Bytes: 1 << 20}
	if have != want {
		t.Errorf("%+v, want %+v", have, want)
	}
	build(t, Options{Upper: true, Size: MinUpper, Counts: &have}, append(entries, &tree.Entry{Path: "gone", Type: tree.Char})...)
	want.Entries, want.Directories, want.Whiteouts = 17, 6, 1 // upper and work
	if have != want {
		t.Errorf("upper: %+v, want %+v", have, want)
	}
}
