package imagecache

import (
	"context"
	"encoding/json"
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
	"golang.org/x/sys/unix"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/layout"
	"ocipipe/lib/tree"
	"ocipipe/lib/vmdk"
)

// built is an image with all its artifacts, as a builder makes them.
type built struct {
	made
	layers                              []string // images
	fsmeta, noTable, vmdk, flat, record string
}

// build puts an image of two layers with all its artifacts into s.
func build(t testing.TB, s *cas.Store, name string, first int) built {
	t.Helper()
	b := built{}
	for i := first; i < first+2; i++ {
		b.layers = append(b.layers, buildLayer(t, s, artifact("layers", diffID(i), "erofs"), fmt.Sprint("file", i)))
	}
	b.made = add(t, s, spec{name: name, layers: []int{first, first + 1, first}, top: true})
	b.fsmeta = buildFsmeta(t, s, artifact("fsmeta", b.Digest, "erofs"), b.layers)
	b.vmdk = buildDisk(t, s, artifact("vmdk", b.Digest, "vmdk"), append([]string{b.fsmeta}, b.layers...))
	noTable := artifact("fsmeta", b.Digest, "erofs")
	noTable.Variant = "no-table"
	b.noTable = buildFsmeta(t, s, noTable, b.layers)
	flat := addFlat(t, s, []digest.Digest{diffID(first), diffID(first + 1), diffID(first)}, "flat image of "+name)
	b.flat, b.record = flat[0], flat[1]
	b.files = union(b.files, b.layers, flat, []string{b.fsmeta, strings.TrimSuffix(b.fsmeta, "erofs") + "json", b.noTable, strings.TrimSuffix(b.noTable, "erofs") + "json", b.vmdk})
	return b
}

func buildLayer(t testing.TB, s *cas.Store, a cas.Artifact, file string) string {
	t.Helper()
	must(t, s.Make(ctx, a, func(f *os.File) error {
		content := "vm1\n"
		opts := erofs.Options{Layer: true}
		if a.Variant != "" {
			opts.Compression = &erofs.Compression{Method: erofs.Method{Algorithm: z.LZ4}}
			content = strings.Repeat(content, 1e5)
		}
		w, err := erofs.NewWriter(ctx, f, opts)
		if err != nil {
			return err
		}
		return errors.Join(w.Add(&tree.Entry{Path: file, Type: tree.File, Mode: 0o644, Size: int64(len(content)), Content: tree.Bytes(content)}), w.Close())
	}))
	return a.Name()
}

func buildFsmeta(t testing.TB, s *cas.Store, a cas.Artifact, layers []string) string {
	t.Helper()
	must(t, s.Make(ctx, a, func(out *os.File) error {
		var list []merge.Layer
		for _, name := range layers {
			f, err := os.Open(filepath.Join(s.Dir(), name))
			if err != nil {
				return err
			}
			defer f.Close()
			info, _ := f.Stat()
			img, err := read.Open(f, info.Size())
			if err != nil {
				return err
			}
			list = append(list, merge.Layer{Name: name, Image: img})
		}
		return erofs.WriteFsmeta(ctx, out, list, tree.Limits{}, erofs.Options{NoDeviceTable: strings.HasSuffix(a.Variant, "no-table")})
	}))
	f, err := s.Artifact(ctx, a)
	must(t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	must(t, err)
	rec := a
	rec.Ext = "json"
	text, _ := json.Marshal(record{digest.FromBytes(data), int64(len(data)), "erofs", []digest.Digest{diffID(0)}})
	makeFile(t, s, rec, string(text))
	return a.Name()
}

func buildDisk(t testing.TB, s *cas.Store, a cas.Artifact, extents []string) string {
	t.Helper()
	var paths []string
	for _, name := range extents {
		paths = append(paths, filepath.Join(s.Dir(), name))
	}
	must(t, s.Make(ctx, a, func(f *os.File) error {
		d, err := vmdk.Open(paths)
		if err != nil {
			return err
		}
		defer d.Close()
		desc, err := d.Descriptor(vmdk.FlatOptions{Dir: filepath.Dir(s.Path(a)), Force: true})
		if err != nil {
			return err
		}
		text, err := desc.Encode()
		if err == nil {
			_, err = f.Write(text)
		}
		return err
	}))
	return a.Name()
}

// damage changes the file called name.
func damage(t testing.TB, s *cas.Store, name string, how func(path string) error) {
	t.Helper()
	path := filepath.Join(s.Dir(), name)
	must(t, os.Chmod(path, 0o600))
	must(t, how(path))
}

func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)*3/4] ^= 0x10
	return os.WriteFile(path, data, 0o600)
}

func cut(path string) error { return os.Truncate(path, 100) }

func verify(t testing.TB, s *cas.Store, o VerifyOptions) Verification {
	t.Helper()
	v, err := Verify(ctx, s, o)
	must(t, err)
	return v
}

// wantFaults compares faults, in the form "FILE: beginning or part of what".
func wantFaults(t testing.TB, v Verification, want ...string) {
	t.Helper()
	var got []string
	for _, f := range v.Faults {
		got = append(got, f.File+": "+f.What+" ["+f.Repair+"]")
	}
	ok := len(got) == len(want)
	for _, w := range want {
		file, what, _ := strings.Cut(w, ": ")
		ok = ok && slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, file+": ") && strings.Contains(g, what) })
	}
	if !ok {
		t.Errorf("faults:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVerifyGood(t *testing.T) {
	s := open(t, t.TempDir())
	build(t, s, "a", 1)
	add(t, s, spec{name: "b", layers: []int{7}, dropped: true})
	must(t, os.WriteFile(filepath.Join(s.Dir(), "blobs/sha256/README"), nil, 0o666))
	before := content(t, s.Dir())
	var last int64
	v := verify(t, s, VerifyOptions{Repair: true, Jobs: 1, Progress: func(done, total int64) {
		if done < last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	}})
	wantFaults(t, v)
	if size := list(t, s).Size; v.Files != len(kept(t, s.Dir()))-1 || v.Bytes != size || last != size {
		t.Errorf("%d files, %d bytes, progress %d; want %d, %d", v.Files, v.Bytes, last, len(kept(t, s.Dir()))-1, size)
	}
	if !slices.Equal(v.Foreign, []string{"blobs/sha256/README"}) {
		t.Errorf("foreign %q", v.Foreign)
	}
	wantSame(t, before, content(t, s.Dir()))
}

// TestVerify damages one thing after the other. Each is named, and repaired so that nothing
// else suffers and nothing more is found.
func TestVerify(t *testing.T) {
	blob := func(i int) string { return layout.BlobName(digest.FromString(layerText(i))) }
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, s *cas.Store, b built)
		want  func(b built) []string
		left  string // the list that has the image in the end; "" for none
	}{
		{"layer blob", func(t *testing.T, s *cas.Store, b built) { damage(t, s, blob(1), flip) }, func(b built) []string {
			return []string{blob(1) + ": damaged: its digest is sha256:", "index.json: a: layer 0 " + digest.FromString(layerText(1)).String() + " is damaged [entry moved to refs.json]", "index.json: a: layer 2"}
		}, "refs.json"},
		{"layer blob cut", func(t *testing.T, s *cas.Store, b built) { damage(t, s, blob(2), cut) }, func(b built) []string {
			return []string{blob(2) + ": damaged", "index.json: a: layer 1"}
		}, "refs.json"},
		{"layer blob missing", func(t *testing.T, s *cas.Store, b built) { damage(t, s, blob(2), os.Remove) }, func(b built) []string {
			return []string{"index.json: a: layer 1 " + digest.FromString(layerText(2)).String() + " is missing [entry moved to refs.json]"}
		}, "refs.json"},
		{"manifest", func(t *testing.T, s *cas.Store, b built) { damage(t, s, layout.BlobName(b.Digest), flip) }, func(b built) []string {
			return []string{layout.BlobName(b.Digest) + ": damaged", "index.json: a: manifest " + b.Digest.String() + " is damaged"}
		}, ""},
		{"index", func(t *testing.T, s *cas.Store, b built) { damage(t, s, layout.BlobName(b.Top), flip) }, func(b built) []string {
			return []string{layout.BlobName(b.Top) + ": damaged", "index.json: a: index " + b.Top.String() + " is damaged [entry removed]"}
		}, ""},
		{"index.json", func(t *testing.T, s *cas.Store, b built) { damage(t, s, "index.json", cut) }, func(b built) []string {
			return []string{"index.json: not an index"}
		}, ""},
		{"an odd entry", func(t *testing.T, s *cas.Store, b built) {
			damage(t, s, "index.json", func(path string) error {
				data, err := os.ReadFile(path)
				return errors.Join(err, os.WriteFile(path, []byte(strings.Replace(string(data), `"manifests":[`, `"manifests":[{"digest":"sha256:../x"},`, 1)), 0o666))
			})
		}, func(b built) []string {
			return []string{"index.json: entry 0 is not the descriptor of an image [entry removed]"}
		}, "index.json"},
		{"layer image", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.layers[0], flip) }, func(b built) []string {
			return []string{b.layers[0] + ": corrupt EROFS image", b.vmdk + ": its extent " + b.layers[0] + " is damaged [removed]"}
		}, "index.json"},
		{"layer image cut", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.layers[0], cut) }, func(b built) []string {
			return []string{b.layers[0] + ": ", b.vmdk + ": " + b.layers[0] + ": size of 100 bytes"}
		}, "index.json"},
		{"layer image missing", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.layers[1], os.Remove) }, func(b built) []string {
			return []string{b.vmdk + ": open " + b.layers[1] + ": no such file"}
		}, "index.json"},
		{"layer image of other content", func(t *testing.T, s *cas.Store, b built) {
			damage(t, s, b.layers[0], os.Remove)
			a, _ := cas.ParseArtifact(b.layers[0])
			buildLayer(t, s, a, "other")
		}, func(b built) []string {
			return []string{b.fsmeta + ": its device 0 is not the image of layer " + diffID(1).String() + " [removed]", b.noTable + ": its devices are not the images of the layers [removed]", b.vmdk + ": " + b.fsmeta + ": device 1: corrupt disk: is the image with the UUID"}
		}, "index.json"},
		{"fsmeta", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.fsmeta, flip) }, func(b built) []string {
			return []string{b.fsmeta + ": damaged: its digest is", b.vmdk + ": "}
		}, "index.json"},
		{"fsmeta of wrong UUID", func(t *testing.T, s *cas.Store, b built) { // and a record that agrees
			damage(t, s, b.fsmeta, func(path string) error {
				data, err := os.ReadFile(path)
				data[len(data)-1] ^= 1
				rec, _ := json.Marshal(record{digest.FromBytes(data), int64(len(data)), "erofs", []digest.Digest{diffID(0)}})
				damage(t, s, strings.TrimSuffix(b.fsmeta, "erofs")+"json", func(path string) error { return os.WriteFile(path, rec, 0o600) })
				return errors.Join(err, os.WriteFile(path, data, 0o600))
			})
		}, func(b built) []string {
			return []string{b.fsmeta + ": byte 1024", b.vmdk + ": CID is"}
		}, "index.json"},
		{"disk", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.vmdk, cut) }, func(b built) []string { return []string{b.vmdk + ": "} }, "index.json"},
		{"flat image", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.flat, flip) }, func(b built) []string {
			return []string{b.flat + ": damaged: its digest is"}
		}, "index.json"},
		{"flat image cut", func(t *testing.T, s *cas.Store, b built) {
			damage(t, s, b.flat, func(p string) error { return os.Truncate(p, 3) })
		}, func(b built) []string {
			return []string{b.flat + ": damaged: has 3 bytes"}
		}, "index.json"},
		{"record", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.record, cut) }, func(b built) []string {
			return []string{b.record + ": damaged: not the record", b.flat + ": has no record"}
		}, "index.json"},
		{"record missing", func(t *testing.T, s *cas.Store, b built) { damage(t, s, b.record, os.Remove) }, func(b built) []string {
			return []string{b.flat + ": has no record"}
		}, "index.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			b, other := build(t, s, "a", 1), build(t, s, "z", 5)
			c.spoil(t, s, b)
			before := content(t, s.Dir())
			v := verify(t, s, VerifyOptions{})
			wantFaults(t, v, withoutRepair(c.want(b))...)
			if v.Unrepaired() != len(v.Faults) {
				t.Errorf("%d unrepaired", v.Unrepaired())
			}
			if after := content(t, s.Dir()); len(after) != len(before) {
				t.Error("files changed without Repair")
			}
			v = verify(t, s, VerifyOptions{Repair: true})
			wantFaults(t, v, c.want(b)...)
			if v.Unrepaired() != 0 {
				t.Errorf("%d unrepaired of %+v", v.Unrepaired(), v.Faults)
			}
			wantFaults(t, verify(t, s, VerifyOptions{Repair: true}))
			if err := os.Remove(filepath.Join(s.Dir(), "index.json.damaged")); (err == nil) != (c.name == "index.json") {
				t.Errorf("what the index was: %v", err)
			}
			wantSame(t, before, content(t, s.Dir()))
			list := map[string]string{}
			refs, err := s.AllRefs()
			must(t, err)
			for _, r := range refs {
				list[r.Name] = map[bool]string{false: "index.json", true: "refs.json"}[r.Dropped]
			}
			if list["a"] != c.left || c.name != "index.json" && list["z"] != "index.json" {
				t.Errorf("listed: %v", list)
			}
			for _, name := range other.files {
				if _, err := os.Stat(filepath.Join(s.Dir(), name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func withoutRepair(list []string) (out []string) {
	for _, w := range list {
		w, _, _ = strings.Cut(w, " [")
		out = append(out, w)
	}
	return out
}

// TestRepairInUse: what a process works with stays, and is still a fault.
func TestRepairInUse(t *testing.T) {
	s := open(t, t.TempDir())
	b := build(t, s, "a", 1)
	damage(t, s, b.layers[0], flip)
	u, err := s.Use(ctx, "x", []string{b.layers[0]})
	must(t, err)
	defer u.Release()
	v := verify(t, s, VerifyOptions{Repair: true})
	wantFaults(t, v, b.layers[0]+": corrupt", b.vmdk+": its extent")
	if v.Unrepaired() != 1 {
		t.Errorf("%+v", v.Faults)
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), b.layers[0])); err != nil {
		t.Error(err)
	}
}

// TestVerifyUnreadable: a file that this user may not read is a fault that is left alone.
func TestVerifyUnreadable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	s := open(t, tmpfs(t))
	b := build(t, s, "a", 1)
	must(t, unix.Mount("", s.Dir(), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	wantFaults(t, verify(t, s, VerifyOptions{Repair: true})) // nothing to repair
	must(t, unix.Mount("", s.Dir(), "", unix.MS_REMOUNT, ""))
	damage(t, s, b.layers[0], flip)
	must(t, unix.Mount("", s.Dir(), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	v, err := Verify(ctx, s, VerifyOptions{Repair: true})
	if !errors.Is(err, cas.ErrStore) || len(v.Faults) != 2 || v.Unrepaired() != 2 {
		t.Errorf("read-only: %+v, %v", v.Faults, err)
	}
}

func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestVerifyHostile: odd things in the places of files are named, or passed over, and waited
// for never.
func TestVerifyHostile(t *testing.T) {
	s := open(t, t.TempDir())
	b := build(t, s, "a", 1)
	fifo := "blobs/sha256/" + strings.Repeat("a", 64)
	must(t, unix.Mkfifo(filepath.Join(s.Dir(), fifo), 0o666))
	link := "layers/" + ABI + "/sha256/" + strings.Repeat("b", 64) + ".erofs"
	must(t, os.Symlink("/etc/passwd", filepath.Join(s.Dir(), link)))
	odd := "vmdk/" + ABI + "/sha256/\x1b[31m"
	must(t, os.WriteFile(filepath.Join(s.Dir(), odd), nil, 0o666))
	fifoDisk := makeFile(t, s, artifact("vmdk", digest.FromString("f"), "vmdk"), "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n# Extent description\nRW 1 FLAT \"../../../"+fifo+"\" 0\n")
	v := verify(t, s, VerifyOptions{Repair: true})
	wantFaults(t, v, fifoDisk+": not a file or block device [removed]")
	if !slices.Equal(v.Foreign, union([]string{fifo, link, odd})) {
		t.Errorf("foreign %q", v.Foreign)
	}
	if _, err := Prune(ctx, s, PruneOptions{}); err != nil {
		t.Error(err)
	}
	wantKept(t, s, b.files, []string{odd})
	if _, err := os.Lstat(filepath.Join(s.Dir(), link)); err != nil {
		t.Error(err)
	}
	must(t, os.Remove(filepath.Join(s.Dir(), "index.json")))
	must(t, unix.Mkfifo(filepath.Join(s.Dir(), "index.json"), 0o666))
	wantFaults(t, verify(t, s, VerifyOptions{}), "index.json: not an index")

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Verify(cancelled, s, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := s.OpenFile(fifo); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a FIFO opens: %v", err)
	}
}

// TestRepairReplaced: a damaged file that another process has replaced meanwhile stays.
func TestRepairReplaced(t *testing.T) {
	s := open(t, t.TempDir())
	b := build(t, s, "a", 1)
	path := filepath.Join(s.Dir(), b.flat)
	good, err := os.ReadFile(path)
	must(t, err)
	damage(t, s, b.flat, flip)
	v := verify(t, s, VerifyOptions{Repair: true, Progress: func(done, total int64) {
		if done == total {
			must(t, os.WriteFile(path+"2", good, 0o444))
			must(t, os.Rename(path+"2", path))
		}
	}})
	wantFaults(t, v, b.flat+": damaged")
	if got, err := os.ReadFile(path); err != nil || string(got) != string(good) || v.Unrepaired() != 1 {
		t.Errorf("%v, %+v", err, v.Faults)
	}
}
