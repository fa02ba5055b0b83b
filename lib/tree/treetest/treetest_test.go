package treetest

import (
	"errors"
	"io"
	"strings"
	"testing"

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
