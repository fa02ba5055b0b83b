package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
)

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
		if _, err := PackDirectory(ctx, &b, d, ArchiveOptions{WriterOptions: archive.WriterOptions{Plain: true}}); err != nil {
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
	if _, err := PackDirectory(ctx, &b, d, ArchiveOptions{Form: form07.Form, WriterOptions: archive.WriterOptions{Plain: true}}); err != nil {
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
	if _, err := PackDirectory(ctx, &b, g, ArchiveOptions{Form: form06.Form}); !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), "0.6") {
		t.Errorf("0.7 into 0.6: %v", err)
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
	// The limit holds for what is written.
	in := h.write(t)
	size := 2 * l.Size
	r, err := archive.NewReader(t.Context(), bytes.NewReader(in), archive.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for m, err := r.Next(); err == nil; m, err = r.Next() {
		if m.Name != l.Path() {
			size += m.Size
		}
	}
	unpack := func(limit int64) error {
		_, err := Unpack(t.Context(), bytes.NewReader(in), t.TempDir(), UnpackOptions{ReadOptions: ReadOptions{MaxSize: limit}})
		return err
	}
	if err := unpack(size); err != nil {
		t.Error(err)
	}
	var limit *archive.LimitError
	if err := unpack(size - 1); !errors.As(err, &limit) || limit.What != "bytes" || !strings.HasPrefix(err.Error(), l.Path()+": ") {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := VerifyArchive(t.Context(), bytes.NewReader(in), ReadOptions{MaxSize: size - l.Size}); err != nil {
		t.Errorf("nothing is written: %v", err)
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
	if _, err := PackDirectory(t.Context(), &b, d, ArchiveOptions{Parents: parents}); err != nil {
		t.Fatal(err)
	}
	if _, err := unpackIn(t.TempDir(), b.Bytes(), ""); err != nil {
		t.Error(err)
	}
}

// The copy of a disk that others may not read is not theirs either.
func TestDirectoryMode(t *testing.T) {
	for _, formName := range []string{form06.Form, form07.Form} {
		for disk, copied := range map[os.FileMode]os.FileMode{0o600: 0o600, 0o660: 0o640, 0o444: 0o644} {
			o := options07(sparseDisk(t, "hello"))
			o.Form = formName
			if err := os.Chmod(o.Upper, disk); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "d")
			if _, err := begin07(t, o).WriteDirectory(t.Context(), dir, false); err != nil {
				t.Fatal(err)
			}
			d, err := OpenDirectory(dir)
			if err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(filepath.Join(d.Path, d.Disks[0].Name))
			d.Close()
			if err != nil || fi.Mode()&^copied != 0 {
				t.Errorf("form %s: %v, more than %v, of %v: %v", formName, fi.Mode(), copied, disk, err)
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
