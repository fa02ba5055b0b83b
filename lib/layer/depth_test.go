package layer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// TestDepth has names of four components, one more than allowed, in a tar that ends after
// their header.
func TestDepth(t *testing.T) {
	for name, headers := range map[string][]raw{
		"file":               {{name: "a/b/c/d"}},
		"directory":          {{kind: '5', name: "a/b/c/d/"}},
		"whiteout":           {{name: "a/b/c/.wh.d"}},
		"opaque mark":        {{name: "a/b/c/d/.wh..wh..opq"}},
		"hard link":          {{kind: '1', name: "a/b/c/d", link: "a"}},
		"target":             {{kind: '1', name: "a", link: "a/b/c/d"}},
		"pseudo-link":        {{name: ".wh..wh.plnk/b/c/d"}},
		"pax path":           {pax("path", "a/b/c/d"), {name: "a"}},
		"long name":          {{kind: 'L', name: "x", data: "a/b/c/d\x00"}, {name: "a"}},
		"file by a link":     {{kind: '2', name: "l", link: "a/b"}, {name: "l/c/d"}},
		"whiteout by a link": {{kind: '2', name: "l", link: "a/b"}, {name: "l/c/.wh.d"}},
		"opaque by a link":   {{kind: '2', name: "l", link: "a/b"}, {name: "l/c/d/.wh..wh..opq"}},
		"target by a link":   {{kind: '2', name: "l", link: "a/b"}, {kind: '1', name: "h", link: "l/c/d"}},
	} {
		tar := rawTar(headers...)
		opts := layer.Options{Limits: tree.Limits{Depth: 3}, SpoolDir: t.TempDir()}
		_, err := readAll(t, tar[:len(tar)-1024], opts)
		var limit *tree.LimitError
		if !errors.As(err, &limit) || limit.Which != tree.LimitDepth {
			t.Errorf("%s: %v", name, err)
		}
		opts.Limits.Depth = 4
		if _, err := readAll(t, tar, opts); err != nil && name != "target" && name != "hard link" {
			t.Errorf("%s at the limit: %v", name, err)
		}
	}
}

// TestCost has much of what takes little of a layer.
func TestCost(t *testing.T) {
	loads := func(headers func(n int) []raw) func(t *testing.T, n int) {
		return func(t *testing.T, n int) {
			loaded, err := layer.Load(context.Background(), input("x", rawTar(headers(n)...), layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			loaded.Close()
		}
	}
	reftest.Cost(t, 50, 120_000, map[string]func(t *testing.T, n int){
		"deep whiteouts": loads(deepMarks(".wh.f")),
		"deep opaque":    loads(deepMarks("f/.wh..wh..opq")),
	})
}

// deepMarks are n of the same mark, each in another directory as deep as one can be.
func deepMarks(name string) func(n int) []raw {
	return func(n int) (headers []raw) {
		for i := range n {
			headers = append(headers, pax("path", strings.Repeat("d/", 2000)+fmt.Sprintf("%04d/", i)+name), raw{name: "x"})
		}
		return headers
	}
}
