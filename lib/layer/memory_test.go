package layer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// TestTreeMemoryLimit has what is held before it is yielded, or never is, fail while the
// tar is read.
func TestTreeMemoryLimit(t *testing.T) {
	limits := tree.Limits{TreeMemory: 100 * tree.NameCost}
	for name, entry := range map[string]func(i int) raw{
		"whiteouts": func(i int) raw { return raw{name: fmt.Sprintf(".wh.%d", i)} },
		"opaque":    func(i int) raw { return raw{name: fmt.Sprintf("%d/.wh..wh..opq", i)} },
		"deep opaque": func(i int) raw {
			return raw{name: fmt.Sprintf("%d/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/.wh..wh..opq", i%10)}
		},
		"late links":   func(i int) raw { return raw{name: "a", kind: '1', link: "b"} },
		"pseudo-links": func(i int) raw { return raw{name: fmt.Sprintf(".wh..wh.plnk/%d", i)} },
	} {
		t.Run(name, func(t *testing.T) {
			var tar []raw
			for i := range 101 {
				tar = append(tar, entry(i))
			}
			src, err := layer.Open(context.Background(), input("x", append(rawTar(tar...), "no tar"...), layer.Options{Limits: limits, SpoolDir: t.TempDir()}))
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			for err == nil {
				_, err = src.Next()
			}
			var limit *tree.LimitError
			if !errors.As(err, &limit) || limit.Which != tree.LimitTreeMemory {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestTreeMemoryOfLayers has layers that are each within the limit, although the image is not.
func TestTreeMemoryOfLayers(t *testing.T) {
	var inputs []layer.Input
	for i := range 4 {
		inputs = append(inputs, input(fmt.Sprint(i), rawTar(raw{name: fmt.Sprint(i)}, raw{name: "a"}), layer.Options{}))
	}
	opts := layer.LoadOptions{SpoolDir: t.TempDir(), Limits: tree.Limits{TreeMemory: 8*tree.NameCost + 8}}
	merged, err := layer.Merge(context.Background(), inputs, opts)
	if err != nil {
		t.Fatalf("at the limit: %v", err)
	}
	merged.Close()
	opts.Limits.TreeMemory--
	var limit *tree.LimitError
	if _, err := layer.Merge(context.Background(), inputs, opts); !errors.As(err, &limit) || limit.Which != tree.LimitTreeMemory {
		t.Errorf("over the limit: %v", err)
	}
}
