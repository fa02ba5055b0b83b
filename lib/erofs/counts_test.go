package erofs

import (
	"testing"

	"ocipipe/lib/tree"
)

// TestCounts: an image has what it was given, the directories that this implies, and its root.
func TestCounts(t *testing.T) {
	entries := []tree.Entry{
		file("a/b/f", pattern(1, 5000)), file("g", pattern(2, 7)), file("g", pattern(2, 70)), hardlink("h", "a/b/f"), hardlink("i", "a/b/f"),
		symlink("s", "a"), device("tty", tree.Char, 5, 0), device("disk", tree.Block, 8, 0), {Path: "p", Type: tree.Fifo}, {Path: "q", Type: tree.Socket},
	}
	want := tree.Counts{Entries: 12, Files: 2, Directories: 3, Symlinks: 1, Hardlinks: 2, CharDevices: 1, BlockDevices: 1, Fifos: 1, Sockets: 1, Bytes: 5070}
	var have tree.Counts
	write(t, Options{Counts: &have}, entries...)
	if have != want {
		t.Errorf("%+v, want %+v", have, want)
	}
	layer := append(entries, device("gone", tree.Char, 0, 0), lowerLink("below", "x"))
	write(t, Options{Layer: true, Counts: &have}, layer...)
	want.Entries, want.Whiteouts, want.Hardlinks = 14, 1, 3
	if have != want {
		t.Errorf("layer: %+v, want %+v", have, want)
	}
	fsmeta(t, Options{Counts: &have}, layersOf(t, Options{}, entries, []tree.Entry{file("t", pattern(3, 100)), device("g", tree.Char, 0, 0)})...)
	want.Entries, want.Whiteouts, want.Hardlinks, want.Bytes = 12, 0, 2, 5100
	if have != want {
		t.Errorf("merged: %+v, want %+v", have, want)
	}
}
