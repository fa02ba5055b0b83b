package patch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// TestLimits counts the names that operations add: directories on the way, names
// themselves, and files of the host.
func TestLimits(t *testing.T) {
	host := t.TempDir()
	for i := range 5 {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", host, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deep := Mkdir{Path: "/" + strings.Repeat("d/", 5) + "d"}
	for _, c := range []struct {
		name string
		ops  []Op
		at   int // number of the operation that is refused
	}{
		{"deep", []Op{Mkdir{Path: "/a"}, deep}, 2},
		{"many", []Op{Mkdir{Path: "/a"}, Mkdir{Path: "/b"}, Mkdir{Path: "/c"}, Mkdir{Path: "/e"}, Mkdir{Path: "/f"}}, 5},
		{"host", []Op{CopyDir{Src: Source{Path: host}, Dst: "/copy"}}, 1},
	} {
		_, err := Apply(t.Context(), merged(t), c.ops, Options{Limits: tree.Limits{TreeMemory: 5 * tree.NameCost}})
		var over *tree.LimitError
		var op *OpError
		if !errors.As(err, &over) || over.Which != tree.LimitTreeMemory || !errors.As(err, &op) || op.Index != c.at {
			t.Errorf("%s: %v, expected a limit at operation %d", c.name, err, c.at)
		}
		if _, err := Apply(t.Context(), merged(t), c.ops, Options{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
