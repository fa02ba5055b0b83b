package treetest

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// source yields two files, of which the second says that it has size bytes.
func source(t *testing.T, size int64) tree.Source {
	tr := tree.NewFlat()
	for _, e := range []tree.Entry{
		{Path: "a", Type: tree.File, Size: 1, Content: tree.Bytes("x")},
		{Path: "b", Type: tree.File, Size: size, Content: tree.Bytes("yz")},
	} {
		if _, err := tr.Put(&e); err != nil {
			t.Fatal(err)
		}
	}
	return tr.Source(tree.Flat)
}

func TestDrain(t *testing.T) {
	if err := Drain(source(t, 2), tree.Limits{}); err != nil {
		t.Error(err)
	}
	if err := Drain(source(t, 3), tree.Limits{}); err == nil || err.Error() != "b: content of 2 bytes, expected 3" {
		t.Error(err)
	}
	var over *tree.LimitError
	if err := Drain(source(t, 2), tree.Limits{TotalSize: 2}); !errors.As(err, &over) {
		t.Error(err)
	}
}

func TestNext(t *testing.T) {
	next := Next(source(t, 2))
	for _, want := range []string{"Path:. ", "Path:a ", "Path:b "} {
		if shown, content, err := next(); err != nil || !strings.Contains(shown, want) || (content == nil) != (want == "Path:. ") {
			t.Errorf("%s, %v, %v, want %s", shown, content, err, want)
		}
	}
	if _, _, err := next(); err != io.EOF {
		t.Error(err)
	}
}

// Each thing that an entry says is in its fact.
func TestFacts(t *testing.T) {
	list := func(change func(e *tree.Entry)) []reftest.Fact {
		e := &tree.Entry{
			Path: "a", Type: tree.File, Mode: 0o644, Size: 1, Content: tree.Bytes("x"), Time: tree.Time{Sec: 1, Nsec: 2},
			Xattrs: []tree.Xattr{{Name: "user.x", Value: "1"}},
		}
		change(e)
		tr := tree.NewFlat()
		for _, e := range []*tree.Entry{e, {Path: "b", Type: e.Type, Hardlink: "a"}} {
			if _, err := tr.Put(e); err != nil {
				t.Fatal(err)
			}
		}
		return Facts(t, tr.Source(tree.Flat))
	}
	same := list(func(*tree.Entry) {})
	if n := len(same); n != 3 || same[1].Sum == "" || same[2].Sum != same[1].Sum || same[2].SameAs != "a" {
		t.Fatalf("%+v", same)
	}
	for name, change := range map[string]func(e *tree.Entry){
		"content": func(e *tree.Entry) { e.Content = tree.Bytes("y") },
		"size":    func(e *tree.Entry) { e.Size, e.Content = 2, tree.Bytes("xx") },
		"mode":    func(e *tree.Entry) { e.Mode = 0o600 },
		"user":    func(e *tree.Entry) { e.UID = 1 },
		"group":   func(e *tree.Entry) { e.GID = 1 },
		"time":    func(e *tree.Entry) { e.Time.Nsec = 3 },
		"xattr":   func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "user.x", Value: "2"}} },
		"device":  func(e *tree.Entry) { *e = tree.Entry{Path: "a", Type: tree.Char, Dev: tree.Device{Major: 1, Minor: 2}} },
		"target":  func(e *tree.Entry) { *e = tree.Entry{Path: "a", Type: tree.Link, Link: "x"} },
	} {
		if reflect.DeepEqual(list(change), same) {
			t.Errorf("%s: the same facts", name)
		}
	}
}
