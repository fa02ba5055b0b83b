package read

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

func TestResolve(t *testing.T) {
	img := &Image{devices: []disk.DeviceSlot{{First: 20, Blocks: 5}, {Blocks: 9}, {First: 10, Blocks: 5}, {First: 15}}}
	if err := img.unify(); err != nil {
		t.Fatal(err)
	}
	for block, want := range map[int64][2]int64{0: {0, 0}, 9: {0, 9}, 10: {3, 0}, 14: {3, 4}, 15: {0, 15}, 19: {0, 19}, 20: {1, 0}, 24: {1, 4}, 25: {0, 25}} {
		if device, at := img.resolve(block); int64(device) != want[0] || at != want[1] {
			t.Errorf("block %d is %d of device %d, expected %v", block, at, device, want)
		}
	}
}

// Runs that are neighbours by number, but on different devices, stay apart.
func TestRunsOfDevices(t *testing.T) {
	var c Content
	c.add(Run{Extent: tree.Extent{Len: 10}})
	c.add(Run{Extent: tree.Extent{Off: 10, Len: 10}, Pos: 10, Device: 1})
	c.add(Run{Extent: tree.Extent{Off: 20, Len: 10}, Pos: 20, Device: 1})
	if len(c.runs) != 2 || c.runs[1].Len != 20 {
		t.Errorf("%v", c.runs)
	}
}

// Devices knows a file by what it is, not by its name.
func TestDevices(t *testing.T) {
	dir := t.TempDir()
	var files []*os.File
	for _, name := range []string{"a", "b", "a2", "b"} {
		path := filepath.Join(dir, name)
		if name == "a2" {
			if err := os.Link(filepath.Join(dir, "a"), path); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	files[1].WriteString("123")
	devices, of, err := Devices(files)
	if err != nil || len(devices) != 2 || !slices.Equal(of, []int{0, 1, 0, 1}) || devices[1].Size != 3 {
		t.Errorf("%v %v %v", devices, of, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, _, err := Devices([]*os.File{r}); err == nil {
		t.Error("a pipe is taken")
	}
}
