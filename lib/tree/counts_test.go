package tree

import "testing"

func TestCounts(t *testing.T) {
	var c Counts
	for _, e := range []Entry{
		{Path: ".", Type: Dir},
		{Path: "d", Type: Dir},
		{Path: "d/f", Type: File, Size: 10},
		{Path: "d/g", Type: File, Size: 200, Extents: []Extent{}},
		{Path: "d/h", Type: File, Size: 3000},
		{Path: "d/i", Type: File, Size: 3000, Hardlink: "d/h"},
		{Path: "l1", Type: Link, Link: "d"}, {Path: "l2", Type: Link, Link: "d"}, {Path: "l3", Type: Link, Link: "d"}, {Path: "l4", Type: Link, Link: "d"},
		{Path: "tty", Type: Char, Dev: Device{5, 0}}, {Path: "tty2", Type: Char, Dev: Device{5, 0}, Hardlink: "tty"},
		{Path: "b1", Type: Block}, {Path: "b2", Type: Block, Dev: Device{8, 0}}, {Path: "b3", Type: Block}, {Path: "b4", Type: Block}, {Path: "b5", Type: Block},
		{Path: "p1", Type: Fifo}, {Path: "p2", Type: Fifo}, {Path: "p3", Type: Fifo}, {Path: "p4", Type: Fifo}, {Path: "p5", Type: Fifo}, {Path: "p6", Type: Fifo},
		{Path: "s1", Type: Socket}, {Path: "s2", Type: Socket}, {Path: "s3", Type: Socket}, {Path: "s4", Type: Socket}, {Path: "s5", Type: Socket}, {Path: "s6", Type: Socket}, {Path: "s7", Type: Socket},
		{Path: "gone", Type: Char},
		{Path: "below", Type: File, Lower: &Lower{Targets: []string{"x"}}},
		{Path: "else", Type: File, Size: 40000, Lower: &Lower{Targets: []string{"x"}, Else: true}},
	} {
		c.Add(&e)
	}
	want := Counts{Entries: 33, Files: 4, Directories: 2, Symlinks: 4, Hardlinks: 3, CharDevices: 1, BlockDevices: 5, Fifos: 6, Sockets: 7, Whiteouts: 1, Bytes: 43210}
	if c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
	if n := c.Files + c.Directories + c.Symlinks + c.Hardlinks + c.CharDevices + c.BlockDevices + c.Fifos + c.Sockets + c.Whiteouts; n != c.Entries {
		t.Errorf("the parts are %d of %d entries", n, c.Entries)
	}
	c.AddInode(&Entry{Type: File, Size: 5}, 4)
	want.Entries, want.Files, want.Hardlinks, want.Bytes = want.Entries+4, want.Files+1, want.Hardlinks+3, want.Bytes+5
	if c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}
