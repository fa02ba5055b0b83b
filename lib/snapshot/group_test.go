package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form07"
)

func TestGroup(t *testing.T) {
	dir := t.TempDir()
	base := options07(sparseDisk(t, "base"))
	first, firstID := archive07(t, base, ArchiveOptions{Name: "base"})
	child := options07(sparseDisk(t, "child"))
	child.Parent = firstID
	second, secondID := archive07(t, child, ArchiveOptions{Name: "child"})
	other, _ := archive07(t, options07(sparseDisk(t, "other")), ArchiveOptions{Name: "other"})
	same, _ := archive07(t, options07(sparseDisk(t, "same")), ArchiveOptions{Name: "base"})

	var warned []string
	unpack := func(data []byte) error {
		warned = nil
		_, err := Unpack(t.Context(), bytes.NewReader(data), dir, UnpackOptions{Name: "g",
			ReadOptions: ReadOptions{Warn: func(msg string) { warned = append(warned, msg) }}})
		return err
	}
	head := func() string {
		data, err := os.ReadFile(filepath.Join(dir, "g", "group.json"))
		if err != nil {
			t.Fatal(err)
		}
		id, err := form07.DecodeGroup(data)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, step := range []struct {
		name  string
		data  []byte
		head  string
		warns int
		err   error
	}{
		{"new", first, firstID, 0, nil},
		{"again", first, firstID, 0, nil},
		{"child", second, secondID, 0, nil},
		{"parent again", first, secondID, 1, nil},
		{"no relative", other, secondID, 1, nil},
		{"name taken", same, secondID, 0, ErrExists},
	} {
		if err := unpack(step.data); !errors.Is(err, step.err) {
			t.Fatalf("%s: %v", step.name, err)
		}
		if h := head(); h != step.head || len(warned) != step.warns {
			t.Errorf("%s: head %s, %q", step.name, h, warned)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("debris: %v", names)
	}

	// The chain of the head, for an archive of both.
	d, err := OpenDirectory(filepath.Join(dir, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	parents, err := FindParents(filepath.Join(dir, "g"), d.Parent)
	if err != nil || len(parents) != 1 || parents[0].ID != firstID {
		t.Fatal(parents, err)
	}
	defer parents[0].Close()
	var b bytes.Buffer
	if _, err := PackDirectory(t.Context(), &b, d, ArchiveOptions{Parents: parents}); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	c, err := unpackIn(to, b.Bytes(), "")
	if err != nil || len(c.Snapshots) != 2 || c.Head != secondID {
		t.Fatal(c, err)
	}
	have := listing(t, to)
	for name, data := range listing(t, dir) {
		if strings.Contains(name, firstID) || strings.Contains(name, secondID) {
			if have[strings.Replace(name, "g/", "msb-"+secondID[5:13]+"/", 1)] != data {
				t.Errorf("%s is wrong or missing", name)
			}
		}
	}
}

// Whoever adds to a group at the same time, all is there in the end.
func TestGroupConcurrent(t *testing.T) {
	dir := t.TempDir()
	first, firstID := archive07(t, options07(sparseDisk(t, "first")), ArchiveOptions{})
	if _, err := unpackIn(dir, first, "g"); err != nil {
		t.Fatal(err)
	}
	var archives [][]byte
	want := []string{firstID}
	for i := range 8 {
		o := options07(sparseDisk(t, fmt.Sprint(i)))
		o.Parent = firstID
		data, id := archive07(t, o, ArchiveOptions{Name: fmt.Sprintf("n%d", i)})
		archives, want = append(archives, data), append(want, id)
	}
	var eg errgroup.Group
	for _, data := range archives {
		eg.Go(func() error {
			_, err := unpackIn(dir, data, "g")
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range want {
		d, err := OpenDirectory(filepath.Join(dir, "g", id))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
		d.Close()
	}
	head, err := OpenDirectory(filepath.Join(dir, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer head.Close()
	if head.Parent != firstID {
		t.Errorf("the head is %s", head.ID)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("debris: %v", names)
	}
}

// A name is that of one snapshot of a group.
func TestGroupNames(t *testing.T) {
	a, b := id32("snap_", "1"), id32("snap_", "2")
	h := &handmade{head: 1, files: map[string]string{}, descriptors: []*form07.Descriptor{descriptor07(a, "", rawLayer("1")), descriptor07(b, a, rawLayer("2"))}}
	for _, d := range h.descriptors {
		h.files[d.Layers[0].Path()] = "hello"
	}
	for _, other := range []string{"other", "base"} {
		h.change = func(v *form07.Inventory) { v.SetNames(map[string]string{a: "base", b: other}) }
		dir := t.TempDir()
		_, err := unpackIn(dir, h.write(t), "g")
		if other == "other" && err != nil || other == "base" && (!errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), `"base"`) || list(t, dir) != "") {
			t.Errorf("base and %s: %v, %s", other, err, list(t, dir))
		}
		if other == "base" {
			continue
		}
		// Nor is such an archive written.
		parent, err := OpenDirectory(filepath.Join(dir, "g", a))
		if err != nil {
			t.Fatal(err)
		}
		defer parent.Close()
		o := options07(sparseDisk(t, "x"))
		o.Parent = a
		for name, taken := range map[string]bool{"new": false, "base": true} {
			_, err := begin07(t, o).WriteArchive(t.Context(), io.Discard, ArchiveOptions{Name: name, Parents: []*Directory{parent}})
			if errors.Is(err, fault.ErrUnsupported) != taken || !taken && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestGroupRefuses(t *testing.T) {
	data, id := archive07(t, options07(sparseDisk(t, "x")), ArchiveOptions{})
	for name, prepare := range map[string]func(g string) error{
		"a file":      func(g string) error { return os.WriteFile(g, nil, 0o600) },
		"other files": func(g string) error { return os.MkdirAll(filepath.Join(g, "x"), 0o755) },
		"not its id": func(g string) error {
			if _, err := unpackIn(filepath.Dir(g), data, "g"); err != nil {
				return err
			}
			path := filepath.Join(g, id, "snapshot.json")
			d, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, bytes.Replace(d, []byte("build-1"), []byte("build-2"), 1), 0o600)
		},
		"a link": func(g string) error { return os.Symlink("/", g) },
	} {
		dir := t.TempDir()
		if err := prepare(filepath.Join(dir, "g")); err != nil {
			t.Fatal(err)
		}
		if _, err := unpackIn(dir, data, "g"); !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
			t.Errorf("%s: debris: %v", name, names)
		}
		if _, err := os.Lstat(filepath.Join(dir, "g", ".group.lock")); err == nil && name == "other files" {
			t.Errorf("%s: a lock was left", name)
		}
	}
	for _, name := range []string{"a b", "..", "snap_x", ".g"} {
		dir := t.TempDir()
		if _, err := unpackIn(dir, data, name); err == nil {
			t.Errorf("%q: accepted", name)
		}
		if names, _ := os.ReadDir(dir); len(names) != 0 {
			t.Errorf("%q: debris: %v", name, names)
		}
	}
}
