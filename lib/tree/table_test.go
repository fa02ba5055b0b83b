package tree

import "testing"

func TestTable(t *testing.T) {
	var table Table[int]
	entries := make([]Entry, 3*tableSlab)
	places := make(map[*int]bool)
	for i := range entries {
		v := table.Of(&entries[i])
		if *v != 0 {
			t.Fatalf("entry %d begins with %d", i, *v)
		}
		*v = i + 1
		places[v] = true
	}
	if len(places) != len(entries) {
		t.Errorf("%d places for %d inodes", len(places), len(entries))
	}
	var other, fresh Entry
	table.Share(&other, &entries[7])
	table.Share(&other, &entries[7])
	*table.Of(&other) = -1
	for i := range entries {
		want := i + 1
		if i == 7 {
			want = -1
		}
		if got := table.Of(&entries[i]); *got != want || !places[got] {
			t.Errorf("entry %d: %d, want %d where it was", i, *got, want)
		}
	}
	table.Share(&other, &fresh)
	if a, b := table.Of(&other), table.Of(&fresh); a != b || places[a] {
		t.Errorf("%p is the one of a new inode, and %p that of another name", a, b)
	}
}

// Links that were counted are no numbers.
func TestForgetLinks(t *testing.T) {
	tr := New()
	inode := &Entry{Type: File}
	tr.Set("dir/a", inode)
	tr.Set("dir/b", OrLower(inode, []string{"c"}))
	tr.CountLinks()
	tr.ForgetLinks()
	var table Table[int]
	seen := make(map[*int]bool)
	for _, e := range []*Entry{tr.Root().Entry, tr.Lookup("dir").Entry, inode, tr.Lookup("dir/b").Entry} {
		seen[table.Of(e)] = true
	}
	if len(seen) != 4 {
		t.Errorf("4 inodes have %d places", len(seen))
	}
}
