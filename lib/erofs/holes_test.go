package erofs

import (
	"errors"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// TestMaxHoleBytes has a byte in the middle of 1 TiB, for which two chunks and a map
// take 6 MiB.
func TestMaxHoleBytes(t *testing.T) {
	const size = 1 << 40
	write := func(limit int64) (int, error) {
		out := &image{}
		w, err := NewWriter(t.Context(), out, Options{MaxHoleBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"a", "b", "c"} {
			e := tree.Entry{
				Path: name, Type: tree.File, Size: size, Extents: []tree.Extent{{Off: size / 2, Len: 1}},
				Content: data("x"),
			}
			if err := w.Add(&e); err != nil {
				return i, err
			}
		}
		return 3, w.Close()
	}
	for _, limit := range []int64{-1, 0} {
		if n, err := write(limit); n != 3 || err != nil {
			t.Errorf("limit %d: %v after %d files", limit, err, n)
		}
	}
	n, err := write(15 << 20)
	var over *tree.LimitError
	if !errors.As(err, &over) || n != 2 || !strings.HasPrefix(err.Error(), "c: ") || over.Which != tree.LimitHoleBytes {
		t.Errorf("%v after %d files", err, n)
	}
	if n, err := write(20 << 20); n != 3 || err != nil {
		t.Errorf("at the limit: %v after %d files", err, n)
	}
}

// The zero Options have a limit.
func TestDefaultMaxHoleBytes(t *testing.T) {
	for limit, want := range map[int64]bool{0: true, -1: false} {
		w, err := NewWriter(t.Context(), &image{}, Options{MaxHoleBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		e := tree.Entry{Path: "a", Type: tree.File, Size: 1 << 20, Extents: []tree.Extent{{Len: 1}}}
		w.holes = DefaultMaxHoleBytes
		var over *tree.LimitError
		err = w.chargeHoles(&e, 4096)
		if got := errors.As(err, &over); got != want || got && over.Limit != DefaultMaxHoleBytes {
			t.Errorf("limit %d, and %d bytes of holes: %v", limit, w.holes, err)
		}
		w.Abort(nil)
	}
}
