package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/integrity"
)

// sparseDisk makes a disk of 1 MiB with the content at two places, and holes.
func sparseDisk(t testing.TB, content string) string {
	t.Helper()
	return makeDisk(t, 1<<20, []byte(content), 0, 256<<10)
}

// options07 are those of a snapshot of form 0.7 of a disk.
func options07(disk string) CreateOptions {
	return CreateOptions{
		Form: form07.Form, Upper: disk, FSType: "none", CreatedAt: "2026-05-01T12:00:00Z", Source: "build-1",
		Image: image, Labels: map[string]string{"stage": "ready"},
	}
}

func begin07(t testing.TB, o CreateOptions) *Creation {
	t.Helper()
	c, err := Create(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// archive07 returns the plain archive of the snapshot, and its identity.
func archive07(t testing.TB, o CreateOptions, a ArchiveOptions) ([]byte, string) {
	t.Helper()
	a.Plain = true
	var b bytes.Buffer
	id, err := begin07(t, o).WriteArchive(t.Context(), &b, a)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), id
}

// listing returns the files below dir, and their content.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func unpackIn(dir string, data []byte, name string) (*form.Contents, error) {
	return Unpack(context.Background(), bytes.NewReader(data), dir, UnpackOptions{Name: name})
}

func TestForm07(t *testing.T) {
	ctx := t.Context()
	disk := sparseDisk(t, "hello")
	content, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	o := options07(disk)
	data, id := archive07(t, o, ArchiveOptions{Name: "base"})
	if again, _ := archive07(t, o, ArchiveOptions{Name: "base"}); !bytes.Equal(data, again) {
		t.Error("two archives of one disk differ")
	}
	if len(data) > 32<<10 {
		t.Errorf("the archive has %d bytes: the holes are not holes", len(data))
	}
	old := o
	old.Form = form06.Form
	_, oldID := archive07(t, old, ArchiveOptions{})
	if id != form07.SnapshotID(digest.Digest(oldID)) {
		t.Errorf("%s is not the first half of %s", id, oldID)
	}
	for _, check := range []func(context.Context, []byte) (*form.Contents, error){
		func(ctx context.Context, d []byte) (*form.Contents, error) {
			return VerifyArchive(ctx, bytes.NewReader(d), ReadOptions{})
		},
		func(ctx context.Context, d []byte) (*form.Contents, error) {
			return InspectArchive(ctx, bytes.NewReader(d), ReadOptions{})
		},
	} {
		c, err := check(ctx, data)
		if err != nil {
			t.Fatal(err)
		}
		s := c.Snapshots[0]
		if c.Head != id || c.Name != "base" || s.Form != "0.7" || s.ID != id || s.Labels["stage"] != "ready" || s.Source != "build-1" || s.Disks[0].Size != 1<<20 {
			t.Errorf("%+v %+v", c, s)
		}
	}
	dir := t.TempDir()
	c, err := unpackIn(dir, data, "g")
	if err != nil {
		t.Fatal(err)
	}
	if c.Snapshots[0].Dir != "g/"+id {
		t.Error(c.Snapshots[0].Dir)
	}
	layer := "layers/" + form07.LayerID(digest.Digest(oldID)) + ".raw"
	files := listing(t, dir)
	want := map[string]string{
		"g/group.json": string(form07.EncodeGroup(id)), "g/.group.lock": "",
		"g/" + id + "/group-member.json": string(form07.EncodeMember("base")),
		"g/" + id + "/metadata.json":     `{"schema":"microsandbox.snapshot-metadata/1","labels":{"stage":"ready"}}`,
		"g/" + id + "/" + layer:          string(content),
	}
	for name, data := range want {
		if files[name] != data {
			t.Errorf("%s is wrong or missing", name)
		}
	}
	if len(files) != len(want)+1 {
		t.Errorf("%d files, not %d", len(files), len(want)+1)
	}
	if d, err := form07.Decode([]byte(files["g/"+id+"/snapshot.json"])); err != nil || d.ID != id {
		t.Error(err)
	}
	f, err := os.Open(filepath.Join(dir, "g", id, layer))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err := runs(f, 1<<20); err != nil || len(data) != 2 {
		t.Errorf("the holes are gone: %v, %v", data, err)
	}
}

// A directory and an archive have the same bytes, whichever way they were made.
func TestForm07Directory(t *testing.T) {
	ctx := t.Context()
	o := options07(sparseDisk(t, "hello"))
	dir := t.TempDir()
	id, err := begin07(t, o).WriteDirectory(ctx, filepath.Join(dir, "g"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "g"), filepath.Join(dir, "g", id)} {
		d, err := OpenDirectory(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if d.ID != id || d.Path != filepath.Join(dir, "g", id) || d.Labels["stage"] != "ready" {
			t.Errorf("%+v", d)
		}
		if err := d.Verify(ctx, nil); err != nil {
			t.Error(err)
		}
		var b bytes.Buffer
		if err := PackDirectory(ctx, &b, d, ArchiveOptions{WriterOptions: archive.WriterOptions{Plain: true}}); err != nil {
			t.Fatal(err)
		}
		if want, _ := archive07(t, o, ArchiveOptions{}); !bytes.Equal(b.Bytes(), want) {
			t.Error("the archive of the directory is another one than that of the disk")
		}
	}
	old := o
	old.Form = ""
	if _, err := begin07(t, old).WriteDirectory(ctx, filepath.Join(dir, "old"), false); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirectory(filepath.Join(dir, "old"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var b bytes.Buffer
	if err := PackDirectory(ctx, &b, d, ArchiveOptions{Form: form07.Form, WriterOptions: archive.WriterOptions{Plain: true}}); err != nil {
		t.Fatal(err)
	}
	if want, _ := archive07(t, o, ArchiveOptions{}); !bytes.Equal(b.Bytes(), want) {
		t.Error("the archive of a converted directory is another one")
	}
	g, err := OpenDirectory(filepath.Join(dir, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := PackDirectory(ctx, &b, g, ArchiveOptions{Form: form06.Form}); !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), "0.6") {
		t.Errorf("0.7 into 0.6: %v", err)
	}
}

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
	if err := PackDirectory(t.Context(), &b, d, ArchiveOptions{Parents: parents}); err != nil {
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

// handmade is an archive that is made without checks.
type handmade struct {
	descriptors []*form07.Descriptor
	head        int
	files       map[string]string // layers, by path
	first       bool              // the inventory comes first

	change func(*form07.Inventory) // before it is written
	rename map[string]string       // names of members
	more   map[string]string       // members that are not listed
}

func (h *handmade) write(t testing.TB) []byte {
	t.Helper()
	var b, discard bytes.Buffer
	write := func(b *bytes.Buffer, inventory []byte) (entries []form07.Entry) {
		w, err := archive.NewWriter(t.Context(), b, archive.WriterOptions{Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		add := func(name, kind, owner, data string, sum *integrity.Sum) {
			if to := h.rename[name]; to != "" {
				name = to
			}
			e, err := w.AddBytes(name, kind, []byte(data))
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, form07.Entry{Path: name, Owner: owner, Kind: kind, Encoded: e.Stored, Apparent: e.Size, Integrity: sum, Transport: e.Transport})
		}
		if h.first && inventory != nil {
			add(form07.InventoryName, "", "", string(inventory), nil)
		}
		done := map[string]bool{}
		for _, d := range h.descriptors {
			data := string(d.Encode())
			add(form07.DescriptorPath(d.ID), form07.KindDescriptor, d.ID, data, &integrity.Sum{Algorithm: integrity.SHA256, Digest: digest.FromString(data).String()})
			for i := range d.Layers {
				path := d.Layers[i].Path()
				if content, ok := h.files[path]; ok && !done[path] {
					add(path, form07.KindPayload, d.ID, content, d.Layers[i].Integrity)
					done[path] = true
				}
			}
		}
		if inventory != nil {
			for name, data := range h.more {
				add(name, "", "", data, nil)
			}
		}
		if !h.first && inventory != nil {
			add(form07.InventoryName, "", "", string(inventory), nil)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return entries
	}
	inv := form07.Inventory{Head: h.descriptors[h.head].ID, Requires: []string{archive.Transport}, Entries: write(&discard, nil)}
	for _, d := range h.descriptors {
		inv.Members = append(inv.Members, form07.Member{ID: d.ID, Digest: d.Digest()})
	}
	slices.SortFunc(inv.Members, func(a, b form07.Member) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.Entries, func(a, b form07.Entry) int { return strings.Compare(a.Path, b.Path) })
	if h.change != nil {
		h.change(&inv)
	}
	write(&b, inv.Encode())
	return b.Bytes()
}

func id32(prefix, digit string) string { return prefix + strings.Repeat(digit, 32) }

// descriptor07 is one whose disk has the layers.
func descriptor07(id, parent string, layers ...form07.Layer) *form07.Descriptor {
	return &form07.Descriptor{
		ID: id, Parent: parent, Image: image, Layout: form07.Managed,
		Capture: form07.Capture{CreatedAt: "2026-05-01T12:00:00.000000000Z", Consistency: form07.CrashConsistent},
		FSType:  "ext4", Layers: layers,
	}
}

// rawLayer is a layer with the content "hello".
func rawLayer(digit string) form07.Layer {
	return form07.Layer{ID: id32("layer_", digit), Format: form07.Raw, Size: 5,
		Integrity: &integrity.Sum{Algorithm: integrity.Merkle, Size: 5, Digest: "blake3:733a84a145df6c2139c33096e7584c1d8f42b0b981ec7e847b1bf6db73bec941"}}
}

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
	if err := PackDirectory(t.Context(), &b, dir, ArchiveOptions{}); !errors.As(err, &q) || b.Len() > 0 {
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

// Two snapshots of an archive may share a layer, and the inventory may be the first member.
func TestSharedLayer(t *testing.T) {
	l := rawLayer("1")
	h := &handmade{head: 1, first: true, files: map[string]string{l.Path(): "hello"}, descriptors: []*form07.Descriptor{
		descriptor07(id32("snap_", "1"), "", l), descriptor07(id32("snap_", "2"), id32("snap_", "1"), l)}}
	dir := t.TempDir()
	if _, err := unpackIn(dir, h.write(t), "g"); err != nil {
		t.Fatal(err)
	}
	files := listing(t, dir)
	for _, s := range h.descriptors {
		if files["g/"+s.ID+"/"+l.Path()] != "hello" {
			t.Errorf("%s has no disk", s.ID)
		}
	}
	// Written again, it is there once.
	d, err := OpenDirectory(filepath.Join(dir, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	parents, err := FindParents(filepath.Join(dir, "g"), d.Parent)
	if err != nil {
		t.Fatal(err)
	}
	defer parents[0].Close()
	var b bytes.Buffer
	if err := PackDirectory(t.Context(), &b, d, ArchiveOptions{Parents: parents}); err != nil {
		t.Fatal(err)
	}
	if _, err := unpackIn(t.TempDir(), b.Bytes(), ""); err != nil {
		t.Error(err)
	}
}

func TestForm07Hostile(t *testing.T) {
	l := rawLayer("1")
	id, other := id32("snap_", "1"), id32("snap_", "2")
	path := form07.DescriptorPath(id)
	for name, c := range map[string]struct {
		change func(*handmade)
		said   string
	}{
		"as it is": {func(*handmade) {}, ""},
		"not listed": {func(h *handmade) {
			h.more = map[string]string{form07.LabelsPath(id): `{"schema":"microsandbox.snapshot-metadata/1","labels":{}}`}
		}, "not listed"},
		"no grammar":  {func(h *handmade) { h.more = map[string]string{"README": "x"} }, "not a path"},
		"escapes":     {func(h *handmade) { h.more = map[string]string{"layers/../../x.raw": "x"} }, "not a path"},
		"absolute":    {func(h *handmade) { h.more = map[string]string{"/etc/passwd": "x"} }, "not a path"},
		"of form 0.6": {func(h *handmade) { h.more = map[string]string{"files/" + strings.Repeat("a", 64) + "/upper.ext4": "x"} }, "not a path"},
		"another id": {func(h *handmade) {
			h.rename = map[string]string{path: form07.DescriptorPath(other)}
			h.change = func(inv *form07.Inventory) {
				inv.Head, inv.Members[0].ID = other, other
				for i := range inv.Entries {
					inv.Entries[i].Owner = other
				}
			}
		}, "snapshot_id"},
		"short disk":     {func(h *handmade) { h.files[l.Path()] = "hell" }, "has 4 bytes"},
		"wrong disk":     {func(h *handmade) { h.files[l.Path()] = "jello" }, "content of the disk has changed"},
		"no disk":        {func(h *handmade) { delete(h.files, l.Path()) }, "is missing"},
		"head elsewhere": {func(h *handmade) { h.change = func(inv *form07.Inventory) { inv.Head = other } }, "head"},
		"one entry less": {func(h *handmade) { h.change = func(inv *form07.Inventory) { inv.Entries = inv.Entries[1:] } }, "not listed"},
		"one member less": {func(h *handmade) {
			h.change = func(inv *form07.Inventory) { inv.Members = nil }
		}, "owner_snapshot"},
		"integrity": {func(h *handmade) {
			h.change = func(inv *form07.Inventory) { inv.Entries[0].Integrity = nil }
		}, "integrity is not that of the descriptor"},
		"ranges": {func(h *handmade) {
			h.change = func(inv *form07.Inventory) { inv.Entries[0].Runs = []archive.Run{{Off: 0, Len: 5}} }
		}, "another sparse map"},
		"hash": {func(h *handmade) {
			h.change = func(inv *form07.Inventory) { inv.Entries[0].Transport = "blake3:" + strings.Repeat("0", 64) }
		}, "damaged on its way"},
		"sizes": {func(h *handmade) {
			h.change = func(inv *form07.Inventory) { inv.Entries[0].Encoded++ }
		}, "5 bytes stored"},
		"layer of another": {func(h *handmade) {
			second := rawLayer("2")
			h.descriptors = append(h.descriptors, descriptor07(other, "", second))
			h.files[second.Path()] = "hello"
			h.change = func(inv *form07.Inventory) { inv.Entries[0].Owner = other }
		}, "does not belong"},
	} {
		h := &handmade{descriptors: []*form07.Descriptor{descriptor07(id, "", l)}, files: map[string]string{l.Path(): "hello"}}
		c.change(h)
		for _, h.first = range []bool{false, true} {
			dir := t.TempDir()
			_, err := unpackIn(dir, h.write(t), "g")
			if c.said == "" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if !errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), c.said) {
				t.Errorf("%s: %v", name, err)
			}
			if names := list(t, dir); names != "" {
				t.Errorf("%s: debris: %s", name, names)
			}
		}
	}
}

// The identifier depends on the parent, whichever form that has.
func TestForm07Parents(t *testing.T) {
	o := options07(sparseDisk(t, "x"))
	seen := map[string]string{}
	for _, o.Parent = range []string{"", id32("snap_", "1"), id32("snap_", "2"), manifest.String()} {
		data, id := archive07(t, o, ArchiveOptions{})
		if was, ok := seen[id]; ok {
			t.Errorf("children of %q and %q have the same identifier", was, o.Parent)
		}
		seen[id] = o.Parent
		c, err := unpackIn(t.TempDir(), data, "")
		want := o.Parent
		if want == manifest.String() {
			want = form07.SnapshotID(manifest)
		}
		if err != nil || c.Snapshots[0].Parent != want {
			t.Errorf("%q: %v", o.Parent, err)
		}
	}
	o.Form, o.Parent = form06.Form, id32("snap_", "1")
	if _, err := begin07(t, o).WriteArchive(t.Context(), io.Discard, plain); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("a child of form 0.6 of a parent of form 0.7: %v", err)
	}
}

func TestAncestors(t *testing.T) {
	a, b := id32("snap_", "1"), id32("snap_", "2")
	h := &handmade{files: map[string]string{}, descriptors: []*form07.Descriptor{descriptor07(a, b, rawLayer("1")), descriptor07(b, a, rawLayer("2"))}}
	for _, d := range h.descriptors {
		h.files[d.Layers[0].Path()] = "hello"
	}
	if _, err := unpackIn(t.TempDir(), h.write(t), ""); err == nil || !strings.Contains(err.Error(), "its own ancestor") {
		t.Errorf("a circle: %v", err)
	}
}

// Every changed byte is noticed, but for those that nothing depends on: what fills blocks
// up, and the name of the snapshot.
func TestForm07Flips(t *testing.T) {
	data, _ := archive07(t, options07(sparseDisk(t, "hello")), ArchiveOptions{Name: "base"})
	covered := slices.Repeat([]bool{true}, len(data))
	r, err := archive.NewReader(t.Context(), bytes.NewReader(data), archive.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	off := int64(0)
	for {
		m, err := r.Next()
		if err != nil {
			break
		}
		off += 512 // no more than four runs
		for i := off + m.Stored; i < off+(m.Stored+511)&^511; i++ {
			covered[i] = false
		}
		off += (m.Stored + 511) &^ 511
	}
	for i := off; i < int64(len(data)); i++ {
		covered[i] = false
	}
	for _, name := range []string{`base","completeness`, `msb-snapshot-member-names`, `base"}},"requires`} {
		at, n := bytes.Index(data, []byte(name)), strings.IndexByte(name, '"')
		if n < 0 {
			n = len(name)
		}
		for i := range n {
			covered[at+i] = false
		}
	}
	noticed := 0
	for i := range data {
		if !covered[i] || i%7 != 0 && i > 2048 {
			continue
		}
		data[i] ^= 1
		if _, err := VerifyArchive(t.Context(), bytes.NewReader(data), ReadOptions{}); err == nil {
			t.Errorf("byte %d was changed, and nobody noticed: %q", i, data[max(0, i-20):i+10])
		}
		data[i] ^= 1
		noticed++
	}
	if noticed < 2000 {
		t.Errorf("only %d bytes tried", noticed)
	}
}

func TestForm07Truncated(t *testing.T) {
	data, _ := archive07(t, options07(sparseDisk(t, "hello")), ArchiveOptions{})
	dir := t.TempDir()
	for n := 0; n < len(data)-1024; n += 512 {
		if _, err := unpackIn(dir, data[:n], ""); !errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("debris: %v", names)
	}
}
