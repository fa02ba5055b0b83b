package tree

import (
	"bytes"
	"io"
	"testing"
)

// A slot belongs to an inode: all names have it, and copies that a source yields.
func TestSlot(t *testing.T) {
	tr := New()
	for i, e := range []*Entry{
		{Path: "a", Type: File, Size: 1, Content: bytes.NewReader([]byte{1})},
		{Path: "b", Type: File, Hardlink: "a"},
		{Path: "c", Type: Dir},
	} {
		held, err := tr.Put(e)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := held.Slot(); ok != (i == 1) || n != 0 && n != 1<<32-1 {
			t.Errorf("%s: has slot %d, %t", e.Path, n, ok)
		}
		if i == 0 {
			held.SetSlot(1<<32 - 1)
		}
	}
	src := tr.Source(Flat)
	defer src.Close()
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := e.Slot(); ok != (e.Path == "a") || ok && n != 1<<32-1 {
			t.Errorf("%s: slot %d, %t", e.Path, n, ok)
		}
		if e.Path == "a" {
			if _, err := e.Content.WriteTo(io.Discard); err == nil {
				t.Error("a slot can be written")
			}
		}
	}
	if n := testing.AllocsPerRun(10, func() { tr.Lookup("a").Entry.SetSlot(1 << 20) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
