package imagecache

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/cas"
)

func TestVariants(t *testing.T) {
	for _, c := range []struct {
		layers  string
		noTable bool
		merged  string
	}{
		{"", false, ""},
		{"", true, "no-table"},
		{"z1-zstd-3-64k", false, "z1-zstd-3-64k"},
		{"z1-zstd-3-64k", true, "z1-zstd-3-64k-no-table"},
	} {
		if got := MergedVariant(c.layers, c.noTable); got != c.merged {
			t.Errorf("%q, %v: %q, want %q", c.layers, c.noTable, got, c.merged)
		}
		if got := layersOf(c.merged); got != c.layers {
			t.Errorf("layersOf(%q) is %q", c.merged, got)
		}
	}
}

const lz4 = "z1-lz4-64k"

// compressed has the artifacts of an image a second time, over layers that are compressed.
func compressed(t *testing.T, s *cas.Store, plain built, first int) built {
	t.Helper()
	b := built{made: plain.made, flat: plain.flat, record: plain.record}
	variant := func(kind, ext, variant string) cas.Artifact {
		a := artifact(kind, b.Digest, ext)
		a.Variant = variant
		return a
	}
	for i := first; i < first+2; i++ {
		a := artifact("layers", diffID(i), "erofs")
		a.Variant = lz4
		b.layers = append(b.layers, buildLayer(t, s, a, fmt.Sprint("file", i)))
	}
	b.fsmeta = buildFsmeta(t, s, variant("fsmeta", "erofs", lz4), b.layers)
	b.noTable = buildFsmeta(t, s, variant("fsmeta", "erofs", lz4+"-no-table"), b.layers)
	b.vmdk = buildDisk(t, s, variant("vmdk", "vmdk", lz4), append([]string{b.fsmeta}, b.layers...))
	return b
}

func (b built) own() []string {
	record := func(name string) string { return strings.TrimSuffix(name, "erofs") + "json" }
	return append(slices.Clone(b.layers), b.fsmeta, record(b.fsmeta), b.noTable, record(b.noTable), b.vmdk)
}

// TestVerifyVariants: compressed artifacts and plain ones of the same image are compared with
// their like, alone and side by side.
func TestVerifyVariants(t *testing.T) {
	other := func(t *testing.T, s *cas.Store, name string) {
		damage(t, s, name, os.Remove)
		a, _ := cas.ParseArtifact(name)
		buildLayer(t, s, a, "other")
	}
	for _, alone := range []bool{true, false} {
		s := open(t, t.TempDir())
		plain := build(t, s, "a", 1)
		small := compressed(t, s, plain, 1)
		victims := []built{small}
		if alone {
			for _, name := range plain.own() {
				must(t, os.Remove(filepath.Join(s.Dir(), name)))
			}
		} else {
			victims = append(victims, plain)
		}
		wantFaults(t, verify(t, s, VerifyOptions{}))
		for _, b := range victims {
			layer := filepath.Join(s.Dir(), b.layers[0])
			good, err := os.ReadFile(layer)
			must(t, err)
			damage(t, s, b.layers[0], flip)
			wantFaults(t, verify(t, s, VerifyOptions{}), b.layers[0]+": corrupt EROFS image", b.vmdk+": its extent "+b.layers[0]+" is damaged")
			other(t, s, b.layers[0])
			wantFaults(t, verify(t, s, VerifyOptions{}),
				b.fsmeta+": its device 0 is not the image of layer "+diffID(1).String(), b.noTable+": its devices are not the images of the layers", b.vmdk+": ")
			damage(t, s, b.layers[0], func(path string) error { return os.WriteFile(path, good, 0o600) })
			wantFaults(t, verify(t, s, VerifyOptions{}))
		}
	}
}

// TestUnknownVariant: artifacts with variants that nobody knows belong to their image, and are
// verified as far as possible.
func TestUnknownVariant(t *testing.T) {
	s := open(t, t.TempDir())
	b := build(t, s, "a", 1)
	layer, merged := artifact("layers", diffID(1), "erofs"), artifact("fsmeta", b.Digest, "erofs")
	layer.Variant, merged.Variant = "z99-new", "table-of-gold"
	odd := []string{buildLayer(t, s, layer, "file"), buildFsmeta(t, s, merged, b.layers)}
	for _, variant := range []string{"-", "no-table-", "-no-table"} {
		a := artifact("fsmeta", b.Digest, "erofs")
		a.Variant = variant
		odd = append(odd, buildFsmeta(t, s, a, b.layers))
	}
	wantFaults(t, verify(t, s, VerifyOptions{}))
	if l := list(t, s); l.Unheld != 0 || len(l.Images[0].Layers[0].Images) != 2 {
		t.Errorf("%+v", l)
	}
	damage(t, s, odd[0], flip)
	damage(t, s, odd[1], flip)
	wantFaults(t, verify(t, s, VerifyOptions{}), odd[0]+": corrupt", odd[1]+": damaged: its digest")
	_, err := Prune(ctx, s, PruneOptions{})
	must(t, err)
	for _, name := range odd {
		if _, err := os.Stat(filepath.Join(s.Dir(), name)); err != nil {
			t.Error(err)
		}
	}
	l := list(t, s)
	_, err = Remove(ctx, s, l.Images)
	must(t, err)
	wantKept(t, s)
}
