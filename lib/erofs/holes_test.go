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
		w, err := NewWriter(out, Options{MaxHoleBytes: limit})
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
	if n, err := write(0); n != 3 || err != nil {
		t.Errorf("without a limit: %v after %d files", err, n)
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
