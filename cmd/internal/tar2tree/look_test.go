package tar2tree

import (
	"errors"
	"io/fs"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// TestKept: what comes to a name between the two readings is not shown, and not called left out.
func TestKept(t *testing.T) {
	found := map[string]*tree.Entry{
		"d":     {Path: "d", Type: tree.Dir},
		"d/old": {Path: "d/old", Type: tree.File},
		"d/new": {Path: "d/new", Type: tree.File, Content: layer.LeftOut{Layer: 1, Path: "d/new"}},
	}
	find := kept(func(path string) (*tree.Entry, error) {
		if e := found[path]; e != nil {
			return e, nil
		}
		return nil, fs.ErrNotExist
	})
	for _, path := range []string{"d", "d/old"} {
		if e, err := find(path); err != nil || e != found[path] {
			t.Errorf("%s: %v, %v", path, e, err)
		}
	}
	if _, err := find("d/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := find("d/new"); err == nil || err.Error() != "/d/new: has changed while it was read" {
		t.Error(err)
	}
}
