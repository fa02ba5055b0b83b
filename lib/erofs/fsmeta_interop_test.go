package erofs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"

	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

func openFile(t *testing.T, name string) *read.Image {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, b)
}

// goErofs writes entries with go-erofs.
func goErofs(t *testing.T, entries []tree.Entry) *read.Image {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "go.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := goerofs.Create(f, goerofs.WithBuildTime(1700000000, 0))
	for i := range entries {
		if err := addGoErofs(w, &entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return openFile(t, f.Name())
}

// Layers that others have written are merged with ours on top and below, and the
// kernel shows what they come to.
func TestForeignLayers(t *testing.T) {
	reftest.OneThread(t)
	foreign := onDisk()
	simple := []tree.Entry{ // go-erofs puts small files behind their inodes
		dir("."), file("go", pattern(50, 10000)), file("large", pattern(51, 50000)), symlink("block", "large"),
	}
	simple = withAll(simple, func(e *tree.Entry) { e.Time.Nsec = 0 })
	ours := stack()[1:]
	root := unpack(t, sourceOf(t, foreign))
	want := merged(t, foreign, ours[0], simple, ours[1])
	for _, args := range [][]string{
		{"-Enoinline_data"},
		{"--chunksize=4096"},
		{"--chunksize=65536", "-Eforce-chunk-indexes"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "mkfs.erofs")
			reftest.Run(t, "mkfs.erofs", append(args, "--quiet", name, root)...)
			upper := layersOf(t, Options{}, ours...)
			layers := []merge.Layer{{Name: "mkfs", Image: openFile(t, name)}, upper[0], {Name: "go", Image: goErofs(t, simple)}, upper[1]}
			b := fsmeta(t, Options{}, layers...)
			if d := firstDifference(lines(t, want.Source(tree.Flat)), lines(t, openWith(t, b, layers).Source())); d != "" {
				t.Error(d)
			}
			kernelWays(t, layers, func(how, at string) {
				// mkfs.erofs leaves out holes that are smaller than its chunks.
				if err := compareMount(at, openWith(t, b, layers).Source()); err != nil {
					t.Errorf("%s: %v", how, err)
				}
			})
		})
	}
}

func openWith(t testing.TB, b []byte, layers []merge.Layer) *read.Image {
	t.Helper()
	img, err := read.Open(&image{B: b}, int64(len(b)), devicesOf(layers)...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// What cannot be addressed is named: the ends of files.
func TestForeignLayersRefused(t *testing.T) {
	root := unpack(t, sourceOf(t, []tree.Entry{dir("."), file("tail", pattern(1, 100)), {Path: "zeros", Type: tree.File, Mode: 0o644, Size: 1 << 20, Content: data(make([]byte, 1<<20))}}))
	for _, c := range []struct{ arg, path string }{{"-T1", "tail"}, {"-zlz4 -Eztailpacking", "zeros"}} {
		if c.path == "zeros" {
			os.Remove(filepath.Join(root, "tail")) // which would be refused first
		}
		name := filepath.Join(t.TempDir(), "mkfs.erofs")
		reftest.Run(t, "mkfs.erofs", append(strings.Fields(c.arg), "--quiet", name, root)...)
		err := WriteFsmeta(context.Background(), &image{}, []merge.Layer{{Name: "mkfs", Image: openFile(t, name)}}, tree.Limits{}, Options{})
		if !errors.Is(err, read.ErrNotAddressable) || !strings.HasPrefix(fmt.Sprint(err), "mkfs: "+c.path+": ") {
			t.Errorf("%s: %v", c.arg, err)
		}
	}
}

// Without layers the image is one of an empty directory.
func TestFsmetaOfNothing(t *testing.T) {
	for _, opts := range []Options{{}, {NoDeviceTable: true}} {
		b := fsmeta(t, opts)
		if all := list(t, open(t, b).Source()); len(all) != 1 || all["."].Mode != 0o755 {
			t.Errorf("%v", all)
		}
		name := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if said := reftest.Run(t, "fsck.erofs", name); strings.Contains(said, "<E>") {
			t.Error(said)
		}
	}
}

// The reference tool takes an fsmeta without a table and its layers for an ordinary
// image.
func TestFsckFsmeta(t *testing.T) {
	layers := layersOf(t, Options{}, onDisk(), stack()[1])
	b := fsmeta(t, Options{NoDeviceTable: true}, layers...)
	for _, l := range layers {
		b = append(b, contentOf(t, l)...)
	}
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if said := reftest.Run(t, "fsck.erofs", "--extract="+out, name); strings.Contains(said, "<E>") {
		t.Error(said)
	}
	for path, e := range list(t, open(t, b).Source()) {
		if e.Type != tree.File || e.Hardlink != "" || e.Extents != nil { // 1.5 extracts holes wrongly
			continue
		}
		have, err := os.ReadFile(filepath.Join(out, path))
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		want := make([]byte, e.Size)
		if e.Size > 0 {
			e.Content.(*read.Content).ReadAt(want, 0)
		}
		if string(have) != string(want) {
			t.Errorf("%q differs", path)
		}
	}
}
