package layer

import (
	"bytes"
	"fmt"
	"testing"

	"ocipipe/lib/tree"
)

// TestSpoolWindows reads contents of many layers in turn: no more of them than
// maxWindows keep a buffer.
func TestSpoolWindows(t *testing.T) {
	shared := new(windows)
	var spools []*spool
	var contents [3 * maxWindows][2]tree.Content
	text := func(i, j int) string { return fmt.Sprintf("content %d of layer %d", j, i) }
	for i := range contents {
		s, err := newSpool(t.TempDir(), shared)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		spools = append(spools, s)
		for j := range contents[i] {
			in := tree.Bytes(text(i, j))
			if contents[i][j], err = s.keep(&tree.Entry{Type: tree.File, Size: int64(len(in)), Content: in}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.complete(); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 6 {
		for i := range contents {
			var got bytes.Buffer
			if _, err := contents[i][round%2].WriteTo(&got); err != nil || got.String() != text(i, round%2) {
				t.Fatalf("layer %d: %q, %v", i, &got, err)
			}
			if round == 3 && i%5 == 0 {
				spools[(i+len(spools)-1)%len(spools)].buf = nil // as close does
			}
		}
		held := 0
		for _, s := range spools {
			held += cap(s.buf)
		}
		if held > maxWindows*spoolWindow {
			t.Fatalf("%d bytes are held", held)
		}
	}
}
