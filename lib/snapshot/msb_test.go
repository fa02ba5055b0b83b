package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/reftest"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/strictjson"
)

// The versions of microsandbox: one of each form.
const (
	msb06 = "0.6.14"
	msb07 = "0.7.2"
)

// msb is microsandbox with a home of its own. No machine runs.
type msb struct {
	t             testing.TB
	version, path string
	home          string
}

func newMsb(t testing.TB, version string) *msb {
	t.Helper()
	cmd := reftest.Command(t, "../../tests/shell/msb.sh", version)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 {
		reftest.Skip(t, "%s", strings.TrimSpace(errs.String()))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.Bytes())
	}
	return &msb{t, version, strings.TrimSpace(out.String()), t.TempDir()}
}

// try runs "msb snapshot". The error has what it says.
func (m *msb) try(args ...string) (string, error) {
	m.t.Helper()
	cmd := reftest.Command(m.t, m.path, append([]string{"snapshot"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+m.home, "MSB_HOME="+m.home, "NO_COLOR=1", "LC_ALL=C")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("msb %s %q: %w\n%s%s", m.version, args, err, out, errs.Bytes())
	}
	return string(out), err
}

func (m *msb) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// refuses fails the test unless msb refuses to run, and says why.
func (m *msb) refuses(why string, args ...string) {
	m.t.Helper()
	if _, err := m.try(args...); err == nil || !strings.Contains(err.Error(), why) {
		m.t.Errorf("%s: %v, want %s", m.version, err, why)
	}
}

// loadArgs are those of "load" into dest.
func (m *msb) loadArgs(archive, dest string) []string {
	if m.version == msb06 {
		return []string{"load", archive, dest}
	}
	return []string{"load", "--dest", dest, "--group", "g", archive}
}

// load loads an archive, and returns the directory of its head.
func (m *msb) load(archive string) string {
	m.t.Helper()
	out := m.run(m.loadArgs(archive, m.t.TempDir())...)
	return strings.TrimSpace(strings.Split(out, "\n")[1])
}

// check verifies the snapshot at path, and looks at what msb says of it.
func (m *msb) check(path string, says ...string) {
	m.t.Helper()
	if out := m.run("verify", path); !strings.Contains(out, "verified (msb-file-merkle-blake3-v1") {
		m.t.Errorf("%s: verify: %s", m.version, out)
	}
	out := m.run("inspect", path)
	for _, s := range says {
		if !strings.Contains(out, s) {
			m.t.Errorf("%s: inspect has no %q: %s", m.version, s, out)
		}
	}
}

// realDisk makes a file system of 64 MiB, which is mostly hole.
func realDisk(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upper.ext4")
	reftest.Run(t, "mke2fs", "-q", "-t", "ext4", path, "64M")
	return path
}

// msbOptions are those of a snapshot in a form.
func msbOptions(disk, formName string) CreateOptions {
	return CreateOptions{
		Form: formName, Upper: disk, CreatedAt: "2026-05-01T12:00:00.5Z", Source: "build-1", Image: image,
		Labels: map[string]string{"stage": "ready", "a": "<é>"},
	}
}

func writeArchive(t testing.TB, o CreateOptions, a ArchiveOptions) (path, id string) {
	t.Helper()
	var b bytes.Buffer
	id, err := begin07(t, o).WriteArchive(t.Context(), &b, a)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, id
}

// takeBack reads an archive that msb wrote, and returns what it has and the disk of its head.
func takeBack(t testing.TB, path string) (*form.Contents, string) {
	t.Helper()
	verifyFile(t, path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	c, err := Unpack(t.Context(), f, dir, UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	head := c.Snapshots[len(c.Snapshots)-1]
	return c, filepath.Join(dir, head.Dir, head.Disks[0].Name)
}

func verifyFile(t testing.TB, path string) *form.Contents {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := VerifyArchive(t.Context(), f, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sameDisk compares content and, but for a few blocks, holes.
func sameDisk(t testing.TB, have, want string) {
	t.Helper()
	sameFile(t, have, want)
	if h, w := blocks(t, have), blocks(t, want); h > w+64 {
		t.Errorf("%s takes %d blocks, %s %d", have, h, want, w)
	}
}

// diskIn returns the disk in a directory that msb made.
func diskIn(t testing.TB, dir string) string {
	t.Helper()
	d, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	return filepath.Join(dir, d.Disks[0].Name)
}

// TestInteropMsb passes snapshots in archives to msb and back.
func TestInteropMsb(t *testing.T) {
	disk := realDisk(t)
	for _, version := range []string{msb06, msb07} {
		for _, formName := range []string{form06.Form, form07.Form} {
			t.Run(version+" form "+formName, func(t *testing.T) {
				m := newMsb(t, version)
				o := msbOptions(disk, formName)
				packed, id := writeArchive(t, o, ArchiveOptions{Name: "base"})
				if version == msb06 && formName == form07.Form {
					m.refuses("archive contains unsupported path", m.loadArgs(packed, t.TempDir())...)
					return
				}
				dir := m.load(packed)
				m.check(dir, "build-1", string(manifest), "stage=ready", "a=<é>", "2026-05-01 12:00:00", "raw", "ext4")
				sameDisk(t, diskIn(t, dir), disk)
				if version == msb07 && formName == form06.Form {
					id = form07.SnapshotID(digest.Digest(id)) // it was converted
				}
				for _, plain := range []bool{false, true} {
					saved := filepath.Join(t.TempDir(), "saved")
					args := []string{"save", dir, saved}
					if plain {
						args = append(args, "--plain-tar")
					}
					m.run(args...)
					c, back := takeBack(t, saved)
					if s := c.Snapshots[0]; c.Head != id || s.Labels["a"] != "<é>" || s.Source != "build-1" {
						t.Errorf("%+v", s)
					}
					sameDisk(t, back, disk)
				}
			})
		}
	}
}

// TestInteropMsbConversion shows that both make the same of a snapshot of form 0.6.
func TestInteropMsbConversion(t *testing.T) {
	m, disk := newMsb(t, msb07), realDisk(t)
	old, _ := writeArchive(t, msbOptions(disk, form06.Form), ArchiveOptions{})
	converted := m.load(old)
	dir := filepath.Join(t.TempDir(), "g")
	id, err := begin07(t, msbOptions(disk, form07.Form)).WriteDirectory(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{form07.DescriptorName, form07.LabelsName} {
		ours, err := os.ReadFile(filepath.Join(dir, id, name))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(filepath.Join(converted, name))
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%s: ours %s, theirs %s", name, ours, theirs)
		}
	}
	// The group, too, but for the name.
	theirs, err := os.ReadFile(filepath.Join(converted, "..", form07.GroupName))
	if err != nil || !bytes.Equal(theirs, form07.EncodeGroup(id)) {
		t.Errorf("%s, %v", theirs, err)
	}
}

// TestInteropMsbDirectory lets msb read directories in place.
func TestInteropMsbDirectory(t *testing.T) {
	disk := realDisk(t)
	write := func(t *testing.T, dir, formName string) (path, id string) {
		id, err := begin07(t, msbOptions(disk, formName)).WriteDirectory(t.Context(), dir, false)
		if err != nil {
			t.Fatal(err)
		}
		if formName == form07.Form {
			return filepath.Join(dir, id), id
		}
		return dir, id
	}
	save := func(t *testing.T, m *msb, path string) string {
		saved := filepath.Join(t.TempDir(), "saved")
		m.run("save", path, saved, "--plain-tar")
		return saved
	}
	t.Run("0.6", func(t *testing.T) {
		m := newMsb(t, msb06)
		path, id := write(t, filepath.Join(t.TempDir(), "base"), form06.Form)
		m.check(path, id, "build-1")
		c, back := takeBack(t, save(t, m, path))
		if c.Head != id || c.Name != "base" {
			t.Errorf("%+v", c)
		}
		sameDisk(t, back, disk)
	})
	t.Run("0.7", func(t *testing.T) {
		m := newMsb(t, msb07)
		path, id := write(t, filepath.Join(t.TempDir(), "g"), form07.Form)
		m.check(path, id, "build-1", "stage=ready")
		c, back := takeBack(t, save(t, m, path))
		if c.Head != id {
			t.Errorf("%+v", c)
		}
		sameDisk(t, back, disk)
	})
	t.Run("0.7 in its home", func(t *testing.T) {
		m := newMsb(t, msb07)
		snapshots := filepath.Join(m.home, "snapshots")
		if err := os.MkdirAll(snapshots, 0o755); err != nil {
			t.Fatal(err)
		}
		packed, id := writeArchive(t, msbOptions(disk, form07.Form), ArchiveOptions{Name: "base"})
		data, err := os.ReadFile(packed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unpackIn(snapshots, data, "mine"); err != nil {
			t.Fatal(err)
		}
		m.run("reindex")
		for _, name := range []string{"mine", "mine:base"} {
			m.check(name, id, "stage=ready")
		}
	})
	// An exception: 0.7.2 reads directories of 0.6, but the archive that it saves of one
	// has the old descriptor with the digest of the new, so it is refused by both.
	t.Run("0.6 in 0.7", func(t *testing.T) {
		m := newMsb(t, msb07)
		path, _ := write(t, filepath.Join(t.TempDir(), "base"), form06.Form)
		m.check(path, "build-1", "stage=ready")
		saved := save(t, m, path)
		m.refuses("archive entry integrity mismatch", m.loadArgs(saved, t.TempDir())...)
		data, err := os.ReadFile(saved)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyArchive(t.Context(), bytes.NewReader(data), ReadOptions{}); !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) ||
			!strings.Contains(err.Error(), form07.DescriptorName) {
			t.Errorf("ours: %v", err)
		}
	})
	t.Run("0.7 in 0.6", func(t *testing.T) {
		path, _ := write(t, filepath.Join(t.TempDir(), "g"), form07.Form)
		newMsb(t, msb06).refuses("unknown field", "inspect", path)
	})
}

// TestInteropMsbParents passes a chain of snapshots, each with a disk of its own.
func TestInteropMsbParents(t *testing.T) {
	for _, c := range []struct{ version, form string }{{msb06, form06.Form}, {msb07, form06.Form}, {msb07, form07.Form}} {
		t.Run(c.version+" form "+c.form, func(t *testing.T) {
			m, base, disk := newMsb(t, c.version), realDisk(t), realDisk(t)
			at := filepath.Join(t.TempDir(), "base")
			if _, err := begin07(t, msbOptions(base, c.form)).WriteDirectory(t.Context(), at, false); err != nil {
				t.Fatal(err)
			}
			parent, err := OpenDirectory(at)
			if err != nil {
				t.Fatal(err)
			}
			defer parent.Close()
			o := msbOptions(disk, c.form)
			o.Parent = parent.ID
			packed, id := writeArchive(t, o, ArchiveOptions{Parents: []*Directory{parent}})
			dir := m.load(packed)
			ids := []string{parent.ID, id}
			if c.version == msb07 && c.form == form06.Form {
				ids = []string{form07.SnapshotID(digest.Digest(parent.ID)), form07.SnapshotID(digest.Digest(id))}
			}
			m.check(dir, ids[0], ids[1])
			sameDisk(t, diskIn(t, dir), disk)
			saved := filepath.Join(t.TempDir(), "saved")
			if c.version == msb06 {
				// It looks for parents where its own snapshots are.
				m.run("load", packed)
			}
			m.run("save", dir, saved, "--with-parents")
			back, backDisk := takeBack(t, saved)
			if len(back.Snapshots) != 2 || back.Snapshots[0].ID != ids[0] || back.Head != ids[1] {
				t.Errorf("%+v", back)
			}
			sameDisk(t, backDisk, disk)
		})
	}
}

// TestInteropMsbExtensions shows an exception: 0.7 refuses snapshots of form 0.6 that have
// an extension, though none is required. In its own form it takes them.
func TestInteropMsbExtensions(t *testing.T) {
	disk := realDisk(t)
	options := func(formName string) CreateOptions {
		o := msbOptions(disk, formName)
		o.Extensions = map[string]*strictjson.Value{"a.b": strictjson.Map().Set("\uff61", strictjson.Int(1)).Set("\U00010000", strictjson.Str("<&>\u2028"))}
		return o
	}
	old, _ := writeArchive(t, options(form06.Form), ArchiveOptions{})
	m := newMsb(t, msb06)
	m.check(m.load(old))
	m = newMsb(t, msb07)
	m.refuses("unsupported extensions", m.loadArgs(old, t.TempDir())...)
	packed, _ := writeArchive(t, options(form07.Form), ArchiveOptions{})
	dir := m.load(packed)
	m.check(dir)
	d, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Extensions["a.b"] == nil {
		t.Error("the extension is gone")
	}
}

// TestInteropMsbDisks passes disks with other maps: empty, full, all hole, many runs, and
// one whose last piece is short.
func TestInteropMsbDisks(t *testing.T) {
	scattered := make([]int64, 100)
	for i := range scattered {
		scattered[i] = int64(i) * 128 << 10
	}
	disks := map[string]string{
		"empty":     makeDisk(t, 0, nil),
		"full":      makeDisk(t, 1<<20, pattern(1<<20), 0),
		"all hole":  makeDisk(t, 1<<30, nil),
		"scattered": makeDisk(t, 100<<20, pattern(4096), scattered...),
		"short end": makeDisk(t, 1<<20+5, pattern(5), 1<<20),
		"1 TiB":     makeDisk(t, 1<<40, pattern(4096), 1<<39),
	}
	for _, c := range []struct{ version, form string }{{msb06, form06.Form}, {msb07, form07.Form}} {
		for name, disk := range disks {
			t.Run(c.form+" "+name, func(t *testing.T) {
				m := newMsb(t, c.version)
				o := msbOptions(disk, c.form)
				o.FSType = "none" // which is not looked into
				if name == "empty" && c.form == form07.Form {
					_, err := begin07(t, o).WriteArchive(t.Context(), io.Discard, plain)
					if !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), "empty") {
						t.Errorf("msb 0.7 has no empty disks, but we say %v", err)
					}
					return
				}
				packed, id := writeArchive(t, o, plain)
				dir := m.load(packed)
				m.check(dir)
				sameDisk(t, diskIn(t, dir), disk)
				saved := filepath.Join(t.TempDir(), "saved")
				m.run("save", dir, saved)
				c, back := takeBack(t, saved)
				if c.Head != id {
					t.Errorf("%s, not %s", c.Head, id)
				}
				sameDisk(t, back, disk)
			})
		}
	}
}

// TestInteropMsbChain shows a chain of layers as msb 0.7 takes it: it is told from a disk,
// in its directory and in the archives that msb saves, also in one without the base.
func TestInteropMsbChain(t *testing.T) {
	m, disk := newMsb(t, msb07), realDisk(t)
	group := filepath.Join(t.TempDir(), "g")
	id, err := begin07(t, msbOptions(disk, form07.Form)).WriteDirectory(t.Context(), group, false)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(group, id)
	data, err := os.ReadFile(filepath.Join(path, form07.DescriptorName))
	if err != nil {
		t.Fatal(err)
	}
	d, err := form07.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	top := form07.Layer{ID: id32("layer_", "f"), Format: form07.Qcow2, Size: d.Layers[0].Size}
	reftest.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Base(d.Layers[0].Path()), filepath.Join(path, top.Path()), fmt.Sprint(top.Size))
	d.Layers = append(d.Layers, top)
	if err := os.WriteFile(filepath.Join(path, form07.DescriptorName), d.Encode(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := m.run("inspect", path); !strings.Contains(out, "qcow2") {
		t.Errorf("msb does not take it for a chain: %s", out)
	}
	dir, err := OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	var q *Qcow2Error
	if err := dir.Verify(t.Context(), nil); !errors.As(err, &q) || q.Layers != 2 {
		t.Errorf("directory: %v", err)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	m.run("save", path, whole)
	m.load(whole)
	refuse := func(path, said string) {
		t.Helper()
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		to := t.TempDir()
		if _, err := Unpack(t.Context(), f, to, UnpackOptions{}); !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), said) {
			t.Errorf("unpack: %v", err)
		}
		if names := list(t, to); names != "" {
			t.Errorf("debris: %s", names)
		}
	}
	refuse(whole, "chain of 2 layers")
	part := filepath.Join(t.TempDir(), "part")
	m.run("save", path, part, "--last-layers", "1")
	refuse(part, "chain of 2 layers")
	// What qemu-img makes of it is one disk.
	raw := filepath.Join(t.TempDir(), "raw")
	reftest.Run(t, "qemu-img", "convert", "-O", "raw", filepath.Join(path, top.Path()), raw)
	sameFile(t, raw, disk)
}
