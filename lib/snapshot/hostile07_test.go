package snapshot

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form07"
)

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
