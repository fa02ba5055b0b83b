package snapshot

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/form"
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
