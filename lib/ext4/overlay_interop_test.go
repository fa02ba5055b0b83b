package ext4

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ocipipe/lib/ext4/internal/ext4test"
	"ocipipe/lib/ext4/internal/probetest"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/treetest"
)

// lowerImage is an EROFS image with these files, each with its name as content, and
// directories.
func lowerImage(t *testing.T, names ...string) string {
	t.Helper()
	reftest.NeedRoot(t)
	root := t.TempDir()
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("lower "+name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Chown(root, 7, 70000), os.Chmod(root, 0o2751), unix.Lsetxattr(root, "user.lower", []byte("root"), 0))
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "lower.erofs")
	reftest.Run(t, "mkfs.erofs", "--quiet", image, root)
	return image
}

// overlay mounts the upper disk over lower, lets fn work there, and unmounts all.
func overlay(t *testing.T, lower, upper string, fn func(dir string)) {
	t.Helper()
	ext4test.WriteMounted(t, upper, func(disk string) {
		dir := t.TempDir()
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, disk, disk)
		reftest.Run(t, "mount", "-t", "overlay", "-o", options, "overlay", dir)
		defer reftest.Run(t, "umount", dir)
		fn(dir)
	})
}

// overlayFiles are the contents of files below dir, by name; of directories "/".
func overlayFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, f := range reftest.Walk(t, dir, reftest.Look{}) {
		switch f.Type {
		case "file":
			b, err := os.ReadFile(filepath.Join(dir, f.Path))
			if err != nil {
				t.Fatal(err)
			}
			files[f.Path] = string(b)
		case "dir":
			files[f.Path] = "/"
		default:
			files[f.Path] = f.Type
		}
	}
	return files
}

func expectFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := overlayFiles(t, dir)
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s is %q, want %q", name, got[name], content)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("should not be there: %q", got)
	}
}

func textFile(path, content string) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o604, UID: 9, Size: int64(len(content)), Content: ext4test.Text(content)}
}

// TestInteropOverlay: a seeded upper disk over a lower image patches, hides and
// replaces; what is then done there is there after a second mount.
func TestInteropOverlay(t *testing.T) {
	lower := reftest.Mount(t, "erofs", lowerImage(t,
		"kept", "patched", "deleted", "copied", "renamed", "removed", "dir/kept", "dir/deleted", "dir/copied", "opaque/hidden", "gone/a", "gone/b", "replaced/x"), "")
	upper := imageFile(t, Options{Upper: true, Size: 256 << 20, Check: true},
		tree.Entry{Path: ".", Type: tree.Dir, Mode: 0o1711, UID: 3, GID: 4, Time: tree.Time{Sec: 1e9, Nsec: 5}, Xattrs: []tree.Xattr{{Name: "user.root", Value: "upper"}}},
		textFile("patched", "upper patched"),
		tree.Entry{Path: "deleted", Type: tree.Char},
		tree.Entry{Path: "dir", Type: tree.Dir, Mode: 0o700},
		textFile("dir/new", "upper dir/new"),
		tree.Entry{Path: "dir/deleted", Type: tree.Char},
		tree.Entry{Path: "opaque", Type: tree.Dir, Mode: 0o755, Xattrs: []tree.Xattr{tree.Opaque}},
		textFile("opaque/new", "upper opaque/new"),
		tree.Entry{Path: "gone", Type: tree.Char},
		textFile("replaced", "was a directory"),
	)
	seeded := map[string]string{
		".": "/", "kept": "lower kept", "patched": "upper patched", "copied": "lower copied", "renamed": "lower renamed", "removed": "lower removed",
		"dir": "/", "dir/kept": "lower dir/kept", "dir/new": "upper dir/new", "dir/copied": "lower dir/copied",
		"opaque": "/", "opaque/new": "upper opaque/new", "replaced": "was a directory",
	}
	worked := map[string]string{
		".": "/", "kept": "lower kept", "patched": "upper patched and more", "copied": "lower copied and more", "moved": "lower renamed", "deleted": "made anew",
		"dir": "/", "dir/kept": "lower dir/kept", "dir/copied": "lower dir/copied and more",
		"opaque": "/", "gone": "/", "gone/c": "new", "replaced": "was a directory",
	}
	overlay(t, lower, upper, func(dir string) {
		expectFiles(t, dir, seeded)
		root := reftest.Walk(t, dir, reftest.Look{})[0]
		if root.Mode != 0o1711 || root.UID != 3 || root.GID != 4 || root.Time != "1000000000.000000005" || root.Xattrs["user.root"] != "upper" {
			t.Errorf("the root is %+v", root)
		}
		workInOverlay(t, dir)
		expectFiles(t, dir, worked)
	})
	probetest.Fsck(t, upper)
	overlay(t, lower, upper, func(dir string) {
		expectFiles(t, dir, worked)
		if err := os.Remove(filepath.Join(dir, "moved")); err != nil {
			t.Error(err)
		}
	})
	probetest.Fsck(t, upper)
}

func workInOverlay(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	more := func(name string) error {
		f, err := os.OpenFile(at(name), os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString(" and more")
			err = errors.Join(err, f.Close())
		}
		return err
	}
	err := errors.Join(
		more("patched"), more("copied"), more("dir/copied"),
		os.Rename(at("renamed"), at("moved")),
		os.Remove(at("removed")),
		os.Remove(at("dir/new")),
		os.Remove(at("opaque/new")),
		os.WriteFile(at("deleted"), []byte("made anew"), 0o644),
		os.Mkdir(at("gone"), 0o755),
		os.WriteFile(at("gone/c"), []byte("new"), 0o644),
		os.Chmod(at("dir"), 0o711),
		unix.Lsetxattr(at("copied"), "user.x", []byte("y"), 0),
	)
	if err != nil {
		t.Error(err)
	}
}

// TestInteropOverlayRoot: an empty upper shows the attributes that it was told, and
// those of the lower root where it was given that.
func TestInteropOverlayRoot(t *testing.T) {
	lower := reftest.Mount(t, "erofs", lowerImage(t, "file"), "")
	look := func(opts Options) (root reftest.Fact) {
		upper := imageFile(t, opts)
		overlay(t, lower, upper, func(dir string) { root = reftest.Walk(t, dir, reftest.Look{})[0] })
		probetest.Fsck(t, upper)
		return root
	}
	want := reftest.Walk(t, lower, reftest.Look{})[0]
	e := tree.Entry{Path: ".", Type: tree.Dir, Mode: uint16(want.Mode), UID: want.UID, GID: want.GID, Xattrs: []tree.Xattr{{Name: "user.lower", Value: "root"}}}
	if _, err := fmt.Sscanf(strings.Replace(want.Time, ".", " ", 1), "%d %d", &e.Time.Sec, &e.Time.Nsec); err != nil {
		t.Fatal(err)
	}
	below := func(string) (*tree.Entry, error) { return &e, nil }
	reftest.Compare(t, []reftest.Fact{want}, []reftest.Fact{look(Options{Upper: true, Size: MinUpper, Below: below})})
	mode := uint16(0o1777)
	if root := look(Options{Upper: true, Size: MinUpper, Below: below, Mode: &mode}); root.Mode != 0o1777 || root.UID != 7 {
		t.Errorf("with a mode: %+v", root)
	}
	if root := look(Options{Upper: true, Size: MinUpper}); root.Mode != 0o755 || root.UID != 0 || root.Xattrs != nil {
		t.Errorf("of nothing: %+v", root)
	}
}

// TestInteropSmallest: on the smallest disk that is made at all an overlay can be
// mounted, every directory of it shows and takes copies of what is below, and there
// is room to work.
func TestInteropSmallest(t *testing.T) {
	const dirs = 1500
	var names []string
	nested := strings.Repeat("n/", 40)
	for i := range dirs {
		names = append(names, fmt.Sprintf("d%d/sub/file", i))
	}
	lower := reftest.Mount(t, "erofs", lowerImage(t, append(names, nested+"file")...), "")
	for _, c := range []struct {
		name    string
		entries []tree.Entry
		work    []string
	}{
		{"nothing", nil, names},
		{"a large file far down", []tree.Entry{large(nested+"large", 70<<20)}, []string{nested + "file"}},
		{"many directories", append(dirsOf(names, 0), large("large", 50<<20)), names},
		{"directories with xattrs", append(dirsOf(names, 60), large("large", 50<<20)), names},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := Options{Upper: true, Size: MinUpper}
			var small *RoomError
			if err := writeAll(new(ext4test.Memory), opts, c.entries); errors.As(err, &small) {
				if opts.Size = small.Size - 1<<20; writeAll(new(ext4test.Memory), opts, c.entries) == nil {
					t.Errorf("less than %d bytes are enough", small.Size)
				}
				opts.Size = small.Size
			}
			upper := imageFile(t, opts, c.entries...)
			overlay(t, lower, upper, func(dir string) { workEverywhere(t, dir, c.work) })
			probetest.Fsck(t, upper)
			overlay(t, lower, upper, func(dir string) {
				if b, err := os.ReadFile(filepath.Join(dir, c.work[0])); err != nil || string(b) != "lower "+c.work[0] {
					t.Errorf("%q, %v", b, err)
				}
			})
		})
	}
}

func writeAll(out Output, opts Options, entries []tree.Entry) error {
	list := make([]*tree.Entry, len(entries))
	for i := range entries {
		list[i] = &entries[i]
	}
	return writeTo(out, opts, list)
}

func large(path string, size int64) tree.Entry {
	return tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Size: size, Content: noise{seed: 1, n: size}}
}

// dirsOf are the directories that hold names, with xattrs of so many bytes.
func dirsOf(names []string, xattr int) (list []tree.Entry) {
	for _, name := range names {
		e := tree.Entry{Path: filepath.Dir(name), Type: tree.Dir, Mode: 0o755}
		if xattr > 0 {
			e.Xattrs = []tree.Xattr{{Name: "user.x", Value: strings.Repeat("x", xattr)}}
		}
		list = append(list, e)
	}
	return list
}

// workEverywhere looks at all of an overlay, changes what holds each file, copies
// some of the files up, and writes 4 MiB.
func workEverywhere(t *testing.T, dir string, names []string) {
	t.Helper()
	for range 2 {
		overlayFiles(t, dir)
	}
	for i, name := range names {
		path := filepath.Join(dir, name)
		err := os.Chmod(filepath.Dir(path), 0o711)
		if i%10 == 0 {
			err = errors.Join(err, os.Chmod(path, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "new"))
	if err == nil {
		_, err = noise{seed: 2, n: 4 << 20}.WriteTo(f)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// An upper disk that an overlay has used is read as the kernel reads it, whiteouts
// that have a name in the work directory too.
func TestInteropReadUpper(t *testing.T) {
	lower := t.TempDir()
	for _, name := range []string{"a", "b", "c", "dir/x", "dir/y", "other/z"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(lower, name)), 0o755), os.WriteFile(filepath.Join(lower, name), []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	image := build(t, Options{Upper: true, Size: 256 << 20, Check: true})
	overlay(t, lower, image, func(dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		if err := errors.Join(
			os.Remove(at("a")), os.Remove(at("b")), os.Chmod(at("c"), 0o600), os.Link(at("c"), at("d")),
			os.RemoveAll(at("dir")), os.Mkdir(at("dir"), 0o711), os.WriteFile(at("dir/new"), []byte("new"), 0o644),
			os.Rename(at("other/z"), at("z")), os.WriteFile(at("large"), make([]byte, 5<<20), 0o644),
		); err != nil {
			t.Fatal(err)
		}
	})
	probetest.Fsck(t, image)
	img := probetest.Open(t, image)
	src, err := img.Subtree("upper")
	if err != nil {
		t.Fatal(err)
	}
	want := reftest.Walk(t, filepath.Join(reftest.Mount(t, "ext4", image, "noload"), "upper"), reftest.Look{DirLinks: true})
	have := treetest.Facts(t, src)
	reftest.Compare(t, want, have)
	whiteouts := 0
	for _, f := range have {
		if f.Type == "char" {
			whiteouts++
		}
	}
	if e, err := img.Lookup("upper/dir"); err != nil || !e.IsOpaque() || whiteouts != 3 {
		t.Errorf("%+v, %v, and %d whiteouts", e, err, whiteouts)
	}
	if _, err := img.Subtree("upper/c"); err == nil {
		t.Error("a file is the root of a tree")
	}
	if _, err := img.Subtree("lower"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what does not exist is the root of a tree: %v", err)
	}
	if err := probetest.DrainImage(img); err != nil {
		t.Error(err)
	}
}
