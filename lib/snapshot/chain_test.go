package snapshot

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/integrity"
)

func TestChain(t *testing.T) {
	ctx := t.Context()
	base, top := rawLayer("1"), form07.Layer{ID: id32("layer_", "2"), Format: form07.Qcow2, Size: 5}
	chain := descriptor07(id32("snap_", "1"), "", base, top)
	single := descriptor07(id32("snap_", "1"), "", top)
	files := map[string]string{base.Path(): "hello", top.Path(): "QFI\xfb"}
	for name, c := range map[string]struct {
		of     *form07.Descriptor
		layers int
	}{"chain": {chain, 2}, "qcow2": {single, 1}} {
		used := map[string]string{}
		for i := range c.of.Layers {
			used[c.of.Layers[i].Path()] = files[c.of.Layers[i].Path()]
		}
		data := (&handmade{descriptors: []*form07.Descriptor{c.of}, files: used}).write(t)
		got, err := InspectArchive(ctx, bytes.NewReader(data), ReadOptions{})
		if err != nil || len(got.Snapshots[0].Disks) != c.layers {
			t.Errorf("%s: inspect: %v", name, err)
		}
		dir := t.TempDir()
		var q *Qcow2Error
		if _, err := VerifyArchive(ctx, bytes.NewReader(data), ReadOptions{}); !errors.As(err, &q) || q.Layers != c.layers {
			t.Errorf("%s: verify: %v", name, err)
		}
		if _, err := unpackIn(dir, data, ""); !errors.As(err, &q) || !errors.Is(err, fault.ErrUnsupported) {
			t.Errorf("%s: unpack: %v", name, err)
		}
		if names, _ := os.ReadDir(dir); len(names) != 0 {
			t.Errorf("%s: debris %v", name, names)
		}
	}
	// A raw base without the layers upon it is not the disk.
	alone := (&handmade{descriptors: []*form07.Descriptor{chain}, files: map[string]string{base.Path(): "hello"}}).write(t)
	for name, read := range map[string]func() error{
		"inspect": func() error { _, err := InspectArchive(ctx, bytes.NewReader(alone), ReadOptions{}); return err },
		"verify":  func() error { _, err := VerifyArchive(ctx, bytes.NewReader(alone), ReadOptions{}); return err },
		"unpack":  func() error { _, err := unpackIn(t.TempDir(), alone, ""); return err },
	} {
		if err := read(); err == nil {
			t.Errorf("%s: the base alone was accepted", name)
		}
	}
}

func TestChainDirectory(t *testing.T) {
	base, top := rawLayer("1"), form07.Layer{ID: id32("layer_", "2"), Format: form07.Qcow2, Size: 5}
	d := descriptor07(id32("snap_", "1"), "", base, top)
	path := filepath.Join(t.TempDir(), d.ID)
	write := func(name, data string) {
		t.Helper()
		at := filepath.Join(path, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("snapshot.json", string(d.Encode()))
	write(base.Path(), "hello")
	if _, err := OpenDirectory(path); !errors.Is(err, fs.ErrNotExist) && (err == nil || !strings.Contains(err.Error(), top.Path())) {
		t.Errorf("the base alone: %v", err)
	}
	write(top.Path(), "QFI\xfb")
	dir, err := OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	var q *Qcow2Error
	if err := dir.Verify(t.Context(), nil); !errors.As(err, &q) || q.Path != path || q.Layers != 2 {
		t.Errorf("verify: %v", err)
	}
	var b bytes.Buffer
	if _, err := PackDirectory(t.Context(), &b, dir, ArchiveOptions{}); !errors.As(err, &q) || b.Len() > 0 {
		t.Errorf("pack: %v, %d bytes", err, b.Len())
	}
}

// A file of qcow2 is not taken for a raw disk because a descriptor says so.
func TestQcow2AsRaw(t *testing.T) {
	const content = "QFI\xfb and more"
	root, err := integrity.Root(t.Context(), integrity.Dense(strings.NewReader(content), int64(len(content))), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	l := form07.Layer{ID: id32("layer_", "1"), Format: form07.Raw, Size: int64(len(content)),
		Integrity: &integrity.Sum{Algorithm: integrity.Merkle, Size: int64(len(content)), Digest: root}}
	h := &handmade{descriptors: []*form07.Descriptor{descriptor07(id32("snap_", "1"), "", l)}, files: map[string]string{l.Path(): content}}
	var q *Qcow2Error
	if _, err := unpackIn(t.TempDir(), h.write(t), ""); !errors.As(err, &q) || q.Path != l.Path() {
		t.Errorf("archive: %v", err)
	}
	if _, err := InspectArchive(t.Context(), bytes.NewReader(h.write(t)), ReadOptions{}); err != nil {
		t.Errorf("inspect: %v", err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, form07.LayersName), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{form07.DescriptorName: string(h.descriptors[0].Encode()), l.Path(): content} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Verify(t.Context(), nil); !errors.As(err, &q) {
		t.Errorf("directory: %v", err)
	}
}
