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

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/integrity"
)

// A disk comes back as it was, holes included, from an archive of any kind.
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name string
		path string
	}{
		{"sparse", makeDisk(t, 64<<20, pattern(70000), 4096, 10<<20, 64<<20-70000)},
		{"ends in a hole", makeDisk(t, 5<<20+1, pattern(4096), 0)},
		{"full", makeDisk(t, 3<<20, pattern(3<<20), 0)},
		{"all hole", makeDisk(t, 100<<30, nil)},
		{"100 GiB", makeDisk(t, 100<<30, pattern(1<<20), 0, 50<<30, 100<<30-1<<20)},
		{"empty", makeDisk(t, 0, nil)},
	} {
		for _, o := range []ArchiveOptions{plain, {}, {WriterOptions: archive.WriterOptions{Level: 9, Jobs: 3}}} {
			b := pack(t, c.path, o)
			if again := pack(t, c.path, o); !bytes.Equal(b, again) {
				t.Errorf("%s: other bytes", c.name)
			}
			if _, err := VerifyArchive(t.Context(), bytes.NewReader(b), ReadOptions{}); err != nil {
				t.Errorf("%s: verify: %v", c.name, err)
			}
			dir := t.TempDir()
			contents, err := Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			head := contents.Snapshots[0]
			if want := head.Dir + " " + head.Dir + "/snapshot.json " + head.Dir + "/upper.ext4"; list(t, dir) != want {
				t.Errorf("%s: %s", c.name, list(t, dir))
			}
			out := filepath.Join(dir, head.Dir, "upper.ext4")
			sameFile(t, out, c.path)
			if have, want := blocks(t, out), blocks(t, c.path); have > want+64 {
				t.Errorf("%s: takes %d blocks, not %d", c.name, have, want)
			}
			// Again: it is there already.
			if _, err := Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{}); err != nil {
				t.Errorf("%s: again: %v", c.name, err)
			}
		}
	}
}

// The directory form has the same identity as the archive, and can be packed.
func TestDirectory(t *testing.T) {
	path := makeDisk(t, 8<<20, pattern(70000), 4096, 5<<20)
	b := pack(t, path, ArchiveOptions{})
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	id, err := begin(t, path).WriteDirectory(t.Context(), base, false)
	if err != nil {
		t.Fatal(err)
	}
	if list(t, dir) != "base base/snapshot.json base/upper.ext4" {
		t.Error(list(t, dir))
	}
	sameFile(t, filepath.Join(base, "upper.ext4"), path)
	if have, want := blocks(t, filepath.Join(base, "upper.ext4")), blocks(t, path); have > want+16 {
		t.Errorf("takes %d blocks, not %d", have, want)
	}
	d, err := OpenDirectory(base)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Verify(t.Context(), func(msg string) { t.Error(msg) }); err != nil || d.ID != id {
		t.Error(d.Digest, id, err)
	}
	var again bytes.Buffer
	if _, err := PackDirectory(t.Context(), &again, d, ArchiveOptions{}); err != nil || !bytes.Equal(again.Bytes(), b) {
		t.Errorf("packed: %d bytes, not %d, %v", again.Len(), len(b), err)
	}
	if _, err := begin(t, path).WriteDirectory(t.Context(), base, false); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	for _, name := range []string{"..", ".hidden", "~", "a:b", strings.Repeat("0", 64), "-o", "a\nb"} {
		if _, err := begin(t, path).WriteDirectory(t.Context(), dir+"/"+name, false); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if list(t, dir) != "base base/snapshot.json base/upper.ext4" {
		t.Error(list(t, dir))
	}
}

// A chain goes into one archive, and comes out of it.
func TestParents(t *testing.T) {
	dir := t.TempDir()
	path := makeDisk(t, 1<<20, pattern(4096), 0)
	var last string
	opts := CreateOptions{Upper: path, FSType: "none", Image: image}
	for _, name := range []string{"a", "b", "c"} {
		opts.Labels = map[string]string{"name": name}
		c, err := Create(opts)
		if err != nil {
			t.Fatal(err)
		}
		last = filepath.Join(dir, name)
		if opts.Parent, err = c.WriteDirectory(t.Context(), last, false); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	head, err := OpenDirectory(last)
	if err != nil {
		t.Fatal(err)
	}
	defer head.Close()
	chain, err := FindParents(dir, "sha256:"+"0000000000000000000000000000000000000000000000000000000000000000")
	if err == nil || len(chain) != 0 {
		t.Error("found a parent that is not there")
	}
	middle, err := OpenDirectory(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer middle.Close()
	if chain, err = FindParents(dir, middle.ID); err != nil || len(chain) != 2 || chain[1].Digest != middle.Digest {
		t.Fatal(chain, err)
	}
	var b bytes.Buffer
	if _, err := PackDirectory(t.Context(), &b, head, ArchiveOptions{Parents: chain, Name: "third"}); err != nil {
		t.Fatal(err)
	}
	for _, d := range chain {
		d.Close()
	}
	to := t.TempDir()
	c, err := Unpack(t.Context(), &b, to, UnpackOptions{Name: "head"})
	if err != nil || len(c.Snapshots) != 3 || c.Name != "third" || c.Head != head.ID {
		t.Fatal(c, err)
	}
	for i, name := range []string{"a", "b", "c"} {
		if c.Snapshots[i].Labels["name"] != name {
			t.Errorf("snapshot %d is %v", i, c.Snapshots[i].Labels)
		}
		if d, err := OpenDirectory(filepath.Join(to, c.Snapshots[i].Dir)); err != nil || d.ID != c.Snapshots[i].ID {
			t.Error(name, err)
		}
	}
	if c.Snapshots[2].Dir != "head" {
		t.Error(c.Snapshots[2].Dir)
	}
}

// A name that is taken by something else is refused, and stays as it is.
func TestExists(t *testing.T) {
	b := pack(t, makeDisk(t, 1<<20, pattern(5000), 8192), ArchiveOptions{})
	other := pack(t, makeDisk(t, 1<<20, pattern(5000), 0), ArchiveOptions{})
	dir := t.TempDir()
	if _, err := Unpack(t.Context(), bytes.NewReader(other), dir, UnpackOptions{Name: "base"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	before := list(t, dir)
	for _, name := range []string{"base", "empty", "file", "link"} {
		if _, err := Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{Name: name}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), dir+"/"+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same snapshot, damaged, is not passed off as good.
	f, err := os.OpenFile(dir+"/base/upper.ext4", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{9}, 100)
	f.Close()
	if _, err := Unpack(t.Context(), bytes.NewReader(other), dir, UnpackOptions{Name: "base"}); !errors.Is(err, fault.ErrCorrupt) {
		t.Error(err)
	}
	if after := list(t, dir); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

// refuse unpacks an archive that is not right, and looks for what is left.
func refuse(t *testing.T, name string, b []byte, said ...string) {
	t.Helper()
	outer := t.TempDir()
	dir := filepath.Join(outer, "in")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{})
	if err == nil {
		t.Errorf("%s: accepted: %v", name, c)
		return
	}
	if !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("%s: %v", name, err)
	}
	for _, s := range said {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v, does not say %q", name, err, s)
		}
	}
	if left := list(t, outer); left != "in" {
		t.Errorf("%s: left %s", name, left)
	}
	if _, err := VerifyArchive(t.Context(), bytes.NewReader(b), ReadOptions{}); err == nil {
		t.Errorf("%s: verified", name)
	}
}

// A changed bit is noticed wherever it is, and the error names the member.
func TestBitFlips(t *testing.T) {
	b := pack(t, makeDisk(t, 300000, pattern(70000), 4096, 200000), plain)
	all := entries(t, b)
	if len(all) != 3 || all[1].kind != form06.KindPayload || len(all[1].Runs) != 3 {
		t.Fatal(all)
	}
	for _, e := range all {
		for _, at := range []int{0, 1, int(e.Stored) / 3, int(e.Stored) - 1} {
			flipped := bytes.Clone(b)
			flipped[e.body+at] ^= 4
			refuse(t, e.Name, flipped, e.Name)
		}
		flipped := bytes.Clone(b)
		flipped[e.head+130] ^= 1 // its size
		refuse(t, "header of "+e.Name, flipped, "checksum")
	}
	compressed := pack(t, makeDisk(t, 300000, pattern(70000), 4096, 200000), ArchiveOptions{})
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	for at := 0; at < len(compressed); at += 1 + len(compressed)/200 {
		flipped := bytes.Clone(compressed)
		flipped[at] ^= 8
		if out, err := decoder.DecodeAll(flipped, nil); err == nil && bytes.Equal(out, b) {
			continue // another way to spell the same
		}
		refuse(t, "zstd", flipped)
	}
}

// An archive that is cut short is noticed wherever that is.
func TestCutShort(t *testing.T) {
	b := pack(t, makeDisk(t, 300000, pattern(70000), 4096, 200000), plain)
	for _, e := range entries(t, b) {
		for _, n := range []int{e.head, e.head + 100, e.body, e.body + 1, e.body + int(e.Stored)/2, e.body + int(e.Stored) - 1} {
			refuse(t, e.Name, b[:n])
		}
	}
	compressed := pack(t, makeDisk(t, 300000, pattern(70000), 4096, 200000), ArchiveOptions{})
	for n := 0; n < len(compressed); n += 1 + len(compressed)/100 {
		refuse(t, "zstd", compressed[:n])
	}
	refuse(t, "zstd", compressed[:len(compressed)-1])
}

// reencode returns the inventory with what change makes of it.
func reencode(t *testing.T, e *entry, change func(*form06.Inventory)) *entry {
	t.Helper()
	v, err := form06.DecodeInventory(e.data)
	if err != nil {
		t.Fatal(err)
	}
	change(v)
	data := v.Encode()
	return &entry{Member: archive.Member{Name: e.Name, Size: int64(len(data)), Stored: int64(len(data))}, data: data}
}

func named2(e *entry, name string) *entry {
	c := *e
	c.Name = name
	return &c
}

func TestHostile(t *testing.T) {
	b := pack(t, makeDisk(t, 300000, pattern(70000), 4096, 200000), plain)
	all := entries(t, b)
	desc, pay, inv := all[0], all[1], all[2]
	small := &entry{Member: archive.Member{Name: "x", Size: 1, Stored: 1}, data: []byte("x")}
	with := func(e ...*entry) []byte { return archiveOf(t, e...) }
	edit := func(change func(*form06.Inventory)) []byte { return with(desc, pay, reencode(t, inv, change)) }
	id := strings.Split(desc.Name, "/")[1]
	zero := strings.Repeat("0", 64)
	for _, c := range []struct {
		name string
		b    []byte
		said string
	}{
		{"absolute", with(desc, pay, inv, named2(small, "/etc/passwd")), `"/etc/passwd": not a path`},
		{"dots", with(desc, pay, inv, named2(small, "../x")), `"../x": not a path`},
		{"dots in the middle", with(desc, pay, inv, named2(small, "files/../x")), `not a path`},
		{"dots at the end", with(desc, pay, inv, named2(small, "files/"+id+"/..")), `not a path`},
		{"./", with(named2(desc, "./"+desc.Name), pay, inv), `not a path`},
		{"reserved", with(desc, pay, inv, named2(small, "files/"+id+"/snapshot.json")), `not a path`},
		{"README", with(desc, pay, inv, named2(small, "README")), `"README": not a path`},
		{"other place", with(desc, pay, inv, named2(small, "foo/snapshot.json")), `not a path`},
		{"image elsewhere", with(desc, pay, inv, named2(small, "images/layers/..")), `not a path`},
		{"image, other suffix", with(desc, pay, inv, named2(small, "images/layers/x.sh")), `not a path`},
		{"short identity", with(named2(desc, "snapshots/abc/snapshot.json"), pay, inv), `not a path`},
		{"old version", with(named2(small, "base/manifest.json")), `before 0.6.14`},
		{"not listed", with(desc, pay, named2(small, "images/layers/x.erofs"), inv), "images/layers/x.erofs is in the archive, but not listed"},
		{"disk of nobody", with(desc, pay, inv, named2(small, "files/"+zero+"/upper.ext4")), "is in the archive, but not listed"},
		{"disk of nobody, no inventory", with(desc, pay, named2(small, "files/"+zero+"/upper.ext4")), "belongs to no snapshot"},
		{"no descriptor", with(pay, inv), desc.Name + " is missing"},
		{"no disk", with(desc, inv), pay.Name + " is missing"},
		{"no disk, no inventory", with(desc), pay.Name + " is missing"},
		{"nothing", with(), "no snapshot"},
		{"descriptor elsewhere", with(named2(desc, "snapshots/"+zero+"/snapshot.json"), pay, inv), "is not the identity in its path"},
		{"head", edit(func(v *form06.Inventory) {
			v.Head = "sha256:" + "0000000000000000000000000000000000000000000000000000000000000000"
		}), "the head"},
		{"size", edit(func(v *form06.Inventory) { v.Entries[0].Apparent++; v.Entries[0].Integrity.Size++ }), pay.Name},
		{"stored size", edit(func(v *form06.Inventory) { v.Entries[0].Encoded++ }), pay.Name},
		{"hash", edit(func(v *form06.Inventory) { v.Entries[0].Transport = "blake3:" + zero }), pay.Name + " does not have the hash"},
		{"integrity", edit(func(v *form06.Inventory) { v.Entries[0].Integrity.Digest = "blake3:" + zero }), pay.Name + ": integrity is not that"},
		{"no integrity", edit(func(v *form06.Inventory) { v.Entries[0].Integrity = nil }), pay.Name + ": integrity is not that"},
		{"not included", edit(func(v *form06.Inventory) { v.Entries[0].Included = false }), "should not be"},
		{"descriptor's digest", edit(func(v *form06.Inventory) { v.Entries[1].Integrity.Digest = "sha256:" + zero }), desc.Name},
		{"kind", edit(func(v *form06.Inventory) { v.Entries[0].Kind = form06.KindObject }), "kind"},
		{"owner", edit(func(v *form06.Inventory) { v.Entries[0].Owner = "" }), "owner_snapshot"},
		{"order", edit(func(v *form06.Inventory) { v.Entries[0], v.Entries[1] = v.Entries[1], v.Entries[0] }), "ascending"},
		{"no hash", edit(func(v *form06.Inventory) { v.Entries[0].Transport = "" }), "transport_integrity is missing"},
		{"requires", edit(func(v *form06.Inventory) { v.Requires = []string{"magic"} }), "requires"},
		{"name", edit(func(v *form06.Inventory) { s := "a/b"; v.SuggestedName = &s }), "suggested_name"},
		{"no snapshots listed", edit(func(v *form06.Inventory) { v.Snapshots = nil }), "lists 0 snapshots"},
		{"missing file listed", edit(func(v *form06.Inventory) {
			e := v.Entries[1]
			e.Path, e.Kind, e.Owner = "images/layers/x.erofs", form06.KindObject, ""
			v.Entries = append([]form06.Entry{v.Entries[0], e}, v.Entries[1])
		}), "images/layers/x.erofs is missing"},
		{"pretty", with(desc, pay, &entry{Member: archive.Member{Name: inv.Name, Size: inv.Size + 1, Stored: inv.Size + 1}, data: append(bytes.Clone(inv.data), '\n')}), "canonical"},
		{"huge inventory", with(desc, pay, &entry{Member: archive.Member{Name: inv.Name, Size: 5 << 20, Stored: 5 << 20}, data: make([]byte, 5<<20)}), "longer than"},
		{"sparse inventory", with(desc, pay, &entry{Member: archive.Member{Name: inv.Name, Size: 1 << 20, Runs: []archive.Run{{Off: 1 << 20}}}}), "sparse"},
	} {
		refuse(t, c.name, c.b, c.said)
	}
}

// Older versions write no inventory; any order of the members is right.
func TestOtherArchives(t *testing.T) {
	path := makeDisk(t, 300000, pattern(70000), 4096, 200000)
	all := entries(t, pack(t, path, plain))
	desc, pay, inv := all[0], all[1], all[2]
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"no inventory", archiveOf(t, desc, pay)},
		{"inventory first", archiveOf(t, inv, desc, pay)},
		{"disk first", archiveOf(t, pay, inv, desc)},
		{"no hashes", archiveOf(t, desc, pay, reencode(t, inv, func(v *form06.Inventory) {
			v.Requires = nil
			for i := range v.Entries {
				v.Entries[i].Transport = ""
			}
		}))},
		{"no end", func() []byte { b := archiveOf(t, inv, desc, pay); return b[:len(b)-1024] }()},
	} {
		dir := t.TempDir()
		got, err := Unpack(t.Context(), bytes.NewReader(c.b), dir, UnpackOptions{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		sameFile(t, filepath.Join(dir, got.Snapshots[0].Dir, "upper.ext4"), path)
	}
	b := archiveOf(t, desc, pay)
	refuse(t, "neither inventory nor end", b[:len(b)-1024], "cut short")
}

// withIntegrity returns an archive whose descriptor has another integrity of the disk.
func withIntegrity(t *testing.T, all []*entry, sum *integrity.Sum, order ...int) []byte {
	t.Helper()
	d, err := form06.Decode(all[0].data)
	if err != nil {
		t.Fatal(err)
	}
	d.File.Integrity = sum
	data := d.Encode()
	desc := &entry{Member: archive.Member{Name: form06.DescriptorPath(d.ID()), Size: int64(len(data)), Stored: int64(len(data))}, kind: form06.KindDescriptor, data: data}
	pay := named2(all[1], form06.PayloadPath(d.ID(), d.File.Name))
	var out []*entry
	for _, i := range order {
		out = append(out, []*entry{desc, pay}[i])
	}
	return archiveOf(t, out...)
}

// The integrity of the descriptor is checked, whichever of the algorithms it is.
func TestIntegrity(t *testing.T) {
	path := makeDisk(t, 300000, pattern(70000), 4096, 200000)
	all := entries(t, pack(t, path, plain))
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, algorithm := range []string{integrity.Merkle, integrity.SparseSHA256, integrity.SHA256} {
		sum, err := integrity.Compute(t.Context(), integrity.File(f, 300000), 300000, algorithm)
		if err != nil {
			t.Fatal(err)
		}
		good := &integrity.Sum{Algorithm: algorithm, Digest: sum, Size: 300000}
		bad := &integrity.Sum{Algorithm: algorithm, Digest: sum[:len(sum)-1] + string(sum[len(sum)-1]^1), Size: 300000}
		for _, order := range [][]int{{0, 1}, {1, 0}} {
			if _, err := Unpack(t.Context(), bytes.NewReader(withIntegrity(t, all, good, order...)), t.TempDir(), UnpackOptions{}); err != nil {
				t.Errorf("%s %v: %v", algorithm, order, err)
			}
			refuse(t, algorithm, withIntegrity(t, all, bad, order...), "upper.ext4")
		}
		if _, err := VerifyArchive(t.Context(), bytes.NewReader(withIntegrity(t, all, good, 0, 1)), ReadOptions{}); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	var warned string
	if _, err := VerifyArchive(t.Context(), bytes.NewReader(withIntegrity(t, all, nil, 0, 1)), ReadOptions{Warn: func(msg string) { warned += msg }}); err != nil || !strings.Contains(warned, "no integrity") {
		t.Error(warned, err)
	}
}

func TestOpenDirectoryRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := begin(t, makeDisk(t, 8192, pattern(8192), 0)).WriteDirectory(t.Context(), dir+"/s", false); err != nil {
		t.Fatal(err)
	}
	upper, desc := dir+"/s/upper.ext4", dir+"/s/snapshot.json"
	text, err := os.ReadFile(desc)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func() error
		said   string
	}{
		{"longer", func() error { return os.Truncate(upper, 8193) }, "has 8193 bytes"},
		{"gone", func() error { return os.Remove(upper) }, "upper.ext4: "},
		{"link", func() error { return os.Symlink("snapshot.json", upper) }, "not a regular file"},
		{"directory", func() error { os.Remove(upper); return os.Mkdir(upper, 0o755) }, "not a regular file"},
		{"descriptor", func() error { return os.WriteFile(desc, text[:100], 0o644) }, "snapshot.json: byte 100: cut short"},
		{"large descriptor", func() error { return os.Truncate(desc, 5<<20) }, "longer than"},
		{"link to the descriptor", func() error { os.Rename(desc, dir+"/d"); return os.Symlink("../d", desc) }, "snapshot.json"},
		{"no descriptor", func() error { return os.Remove(desc) }, "not a snapshot"},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if d, err := OpenDirectory(dir + "/s"); err == nil || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %v, %v", c.name, d, err)
		}
	}
}

// A context that ends, a full disk and a reader that fails leave nothing.
func TestStops(t *testing.T) {
	path := makeDisk(t, 64<<20, pattern(8<<20), 0, 40<<20)
	b := pack(t, path, ArchiveOptions{})
	running := reftest.RunningNow(t)
	why := errors.New("why")
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	in := &callAt{Reader: bytes.NewReader(b), at: len(b) / 2, call: func() { cancel(why) }}
	if _, err := Unpack(ctx, in, dir, UnpackOptions{}); !errors.Is(err, why) {
		t.Error(err)
	}
	in = &callAt{Reader: bytes.NewReader(b), at: len(b) / 2, err: why}
	if _, err := Unpack(t.Context(), in, dir, UnpackOptions{}); !errors.Is(err, why) {
		t.Error(err)
	}
	c, err := Create(CreateOptions{Upper: path, FSType: "none", Image: image})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteArchive(ctx, io.Discard, ArchiveOptions{}); !errors.Is(err, why) {
		t.Error(err)
	}
	if _, err := c.WriteDirectory(ctx, dir+"/s", false); !errors.Is(err, why) {
		t.Error(err)
	}
	c.Close()
	if list(t, dir) != "" {
		t.Error(list(t, dir))
	}
	running.Left(t)
}

// callAt calls a function, or fails, when at bytes were read.
type callAt struct {
	io.Reader
	at   int
	call func()
	err  error
}

func (c *callAt) Read(p []byte) (int, error) {
	if c.at <= 0 && c.err != nil {
		return 0, c.err
	}
	n, err := c.Reader.Read(p[:min(len(p), 4096)])
	if c.at -= n; c.at <= 0 && c.call != nil {
		c.call()
		c.call = nil
	}
	return n, err
}

// A process that is killed leaves a directory that the next one removes; one that works
// keeps it.
func TestStale(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	working, err := newStaging(root, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/"+stagingPrefix+"dead/x", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/"+stagingPrefix+"file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/"+stagingPrefix+"fifo", 0o644); err != nil { // opening it would wait
		t.Fatal(err)
	}
	other, err := newStaging(root, "x")
	if err != nil {
		t.Fatal(err)
	}
	if have := list(t, dir); strings.Contains(have, "dead") || !strings.Contains(have, "file") || !strings.Contains(have, working.name) || !strings.Contains(have, other.name) {
		t.Error(have)
	}
	if err := errors.Join(working.remove(), other.remove()); err != nil {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	path := makeDisk(f, 20000, pattern(5000), 4096)
	for _, o := range []ArchiveOptions{plain, {}} {
		seed := pack(f, path, o)
		if _, err := VerifyArchive(f.Context(), bytes.NewReader(seed), ReadOptions{}); err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	seed, _ := archive07(f, options07(path), ArchiveOptions{Name: "base"})
	if _, err := VerifyArchive(f.Context(), bytes.NewReader(seed), ReadOptions{}); err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, in []byte) {
		opts := ReadOptions{MaxSize: 1 << 30}
		_, err := VerifyArchive(t.Context(), bytes.NewReader(in), opts)
		if err != nil && !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
			t.Fatal(err)
		}
	})
}
