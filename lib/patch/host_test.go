package patch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// plant makes files below a new directory: a name that ends in a slash is a directory,
// "NAME -> TARGET" a symbolic link, and any other holds its own name.
func plant(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(root, link)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// TestSources copies one source in each way, and compares what comes or why nothing does.
func TestSources(t *testing.T) {
	at := plant(t, "in/file", "in/dir/x", "in/link -> file", "in/dirlink -> dir", "in/abs -> /etc/passwd", "in/up -> ../out", "in/dir/up -> ../../out", "in/loop -> loop", "out")
	in := filepath.Join(at, "in")
	if err := unix.Mkfifo(filepath.Join(in, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(plantIn(t, in, "special/x"), "special/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	confined := Options{Root: openRoot(t, in)}
	for _, c := range []struct {
		name string
		op   Op
		opts Options
		want string // the content, the names in the difference, or a part of the error
	}{
		{"file", CopyFile{Src: Source{Dir: in, Path: "file"}, Dst: "/f"}, Options{}, "in/file"},
		{"absolute", CopyFile{Src: Source{Dir: "/nowhere", Path: in + "/file"}, Dst: "/f"}, Options{}, "in/file"},
		{"link", CopyFile{Src: Source{Dir: in, Path: "link"}, Dst: "/f"}, Options{}, "in/file"},
		{"up", CopyFile{Src: Source{Dir: in, Path: "../out"}, Dst: "/f"}, Options{}, "out"},
		{"missing", CopyFile{Src: Source{Dir: in, Path: "none"}, Dst: "/f"}, Options{}, "no such file"},
		{"directory as file", CopyFile{Src: Source{Dir: in, Path: "dir"}, Dst: "/f"}, Options{}, "is not a regular file"},
		{"pipe", CopyFile{Src: Source{Dir: in, Path: "fifo"}, Dst: "/f"}, Options{}, "is not a regular file"},
		{"device", CopyFile{Src: Source{Path: "/dev/null"}, Dst: "/f"}, Options{}, "is not a regular file"},
		{"loop", CopyFile{Src: Source{Dir: in, Path: "loop"}, Dst: "/f"}, Options{}, "too many levels of symbolic links"},
		{"confined", CopyFile{Src: Source{Dir: "/nowhere", Path: "file"}, Dst: "/f"}, confined, "in/file"},
		{"confined from its root", CopyFile{Src: Source{Path: "/file"}, Dst: "/f"}, confined, "in/file"},
		{"confined link", CopyFile{Src: Source{Path: "link"}, Dst: "/f"}, confined, "in/file"},
		{"out by dots", CopyFile{Src: Source{Path: "../out"}, Dst: "/f"}, confined, "escapes"},
		{"out by a link", CopyFile{Src: Source{Path: "up"}, Dst: "/f"}, confined, "escapes"},
		{"out by an absolute link", CopyFile{Src: Source{Path: "abs"}, Dst: "/f"}, confined, "escapes"},
		{"directory out", CopyDir{Src: Source{Path: ".."}, Dst: "/d"}, confined, "escapes"},
		{"directory", CopyDir{Src: Source{Dir: in, Path: "dir"}, Dst: "/d"}, Options{}, ". d d/up d/x"},
		{"directory by a link", CopyDir{Src: Source{Path: "dirlink"}, Dst: "/d"}, confined, ". d d/up d/x"},
		{"file as directory", CopyDir{Src: Source{Dir: in, Path: "file"}, Dst: "/d"}, Options{}, "not a directory"},
		{"pipe as directory", CopyDir{Src: Source{Dir: in, Path: "fifo"}, Dst: "/d"}, Options{}, filepath.Join(in, "fifo") + ": not a directory"},
		{"confined pipe as directory", CopyDir{Src: Source{Path: "fifo"}, Dst: "/d"}, confined, "not a directory"},
		{"pipe in it", CopyDir{Src: Source{Dir: in, Path: "special"}, Dst: "/d"}, Options{}, "special/fifo: is not a regular file, directory or symbolic link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Apply(context.Background(), merged(t), []Op{c.op}, c.opts)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, expected %q", err, c.want)
				}
				return
			}
			found := read(t, r.Source(tree.Layer))
			have := content(t, found["f"])
			if _, isDir := c.op.(CopyDir); isDir {
				var names []string
				for e := range all(t, r.Source(tree.Layer)) {
					names = append(names, e.Path)
				}
				have = strings.Join(names, " ")
			}
			if have != c.want {
				t.Errorf("%q, expected %q", have, c.want)
			}
		})
	}
}

func plantIn(t *testing.T, root, name string) string {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// all yields the entries of src.
func all(t *testing.T, src tree.Source) func(yield func(*tree.Entry) bool) {
	return func(yield func(*tree.Entry) bool) {
		for {
			e, err := src.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(e) {
				return
			}
		}
	}
}

// A source that has changed since the list was applied is not passed off as what it was.
func TestSourceChanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(path string) error
		want   string
	}{
		{"longer", func(p string) error { return os.WriteFile(p, []byte("longer than file"), 0o644) }, "from 8 bytes to 16"},
		{"shorter", func(p string) error { return os.Truncate(p, 3) }, "from 8 bytes to 3"},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, "from 8 bytes to 0"},
		{"other bytes", func(p string) error {
			return errors.Join(os.WriteFile(p, []byte("in/FILE!"), 0o644), os.Chtimes(p, time.Time{}, time.Unix(9, 0)))
		}, "it was written to"},
		{"gone", os.Remove, "no such file"},
		{"a pipe", func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o644)) }, "no longer a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := plant(t, "in/file!")
			file := filepath.Join(in, "in/file!")
			for name, op := range map[string]Op{
				"copy_file": CopyFile{Src: Source{Dir: in, Path: "in/file!"}, Dst: "/f"},
				"copy_dir":  CopyDir{Src: Source{Dir: in, Path: "in"}, Dst: "/d"},
			} {
				defer func(name string, r *Result) {
					var err error
					for e := range all(t, r.Source(tree.Layer)) {
						if e.Content != nil {
							_, err = e.Content.WriteTo(io.Discard)
						}
					}
					if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "file!") {
						t.Errorf("%s: error %v, expected %q", name, err, c.want)
					}
				}(name, apply(t, merged(t), Options{}, op))
			}
			if err := c.change(file); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A directory may become a symbolic link that leads out after the list was applied.
func TestSourceMoves(t *testing.T) {
	at := plant(t, "in/dir/x", "secret/x")
	os.Chtimes(filepath.Join(at, "in/dir/x"), time.Time{}, time.Unix(9, 0))
	os.WriteFile(filepath.Join(at, "secret/x"), []byte("in/dir/X"), 0o644)
	os.Chtimes(filepath.Join(at, "secret/x"), time.Time{}, time.Unix(9, 0))
	r := apply(t, merged(t), Options{}, CopyDir{Src: Source{Dir: at, Path: "in"}, Dst: "/d"})
	if err := errors.Join(os.RemoveAll(filepath.Join(at, "in/dir")), os.Symlink("../secret", filepath.Join(at, "in/dir"))); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, r.Source(tree.Layer))["d/dir/x"].Content.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("error %v, expected that the path escapes", err)
	}
}

// TestDirBecomesPipe replaces a directory that was found by a pipe, which nobody writes to.
func TestDirBecomesPipe(t *testing.T) {
	at := plant(t, "x")
	if err := unix.Mkfifo(filepath.Join(at, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := &applier{view: newView(merged(t), tree.Limits{}), ctx: context.Background(), opts: Options{Preserve: true}}
	c := copier{applier: a, from: hostPath{path: at}, root: openRoot(t, at)}
	info, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.dir(a.view.root, "fifo", info); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("names of a pipe: error %v", err)
	}
	if _, err := c.xattrs("fifo/x"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("attributes below a pipe: error %v", err)
	}
}

func TestOpenRoot(t *testing.T) {
	at := plant(t, "f")
	if err := unix.Mkfifo(filepath.Join(at, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{".": nil, "none": fs.ErrNotExist, "f": unix.ENOTDIR, "fifo": unix.ENOTDIR} {
		root, err := OpenRoot(filepath.Join(at, name))
		if !errors.Is(err, want) || err != nil && strings.Contains(err.Error(), "/.:") {
			t.Errorf("%s: error %v, expected %v", name, err, want)
		}
		if err == nil {
			root.Close()
		}
	}
}

// TestPreserve copies attributes of the host, or none of them.
func TestPreserve(t *testing.T) {
	reftest.NeedRoot(t)
	in := plant(t, "dir/a", "dir/link -> a", "dir/sub/")
	a := filepath.Join(in, "dir/a")
	times := []unix.Timespec{{}, {Sec: -3, Nsec: 7}}
	if err := errors.Join(
		os.Link(a, filepath.Join(in, "dir/b")), os.Chown(a, 5, 70000), unix.Chmod(a, 0o4751), unix.Setxattr(a, "user.a", []byte("1"), 0), unix.Setxattr(a, "trusted.overlay.redirect", []byte("/x"), 0),
		unix.Lsetxattr(filepath.Join(in, "dir/link"), "trusted.l", []byte("2"), 0), os.Lchown(filepath.Join(in, "dir/link"), 8, 9),
		unix.Setxattr(filepath.Join(in, "dir"), "trusted.d", []byte("3"), 0), os.Chmod(filepath.Join(in, "dir"), 0o700), os.Chown(filepath.Join(in, "dir"), 6, 6),
		unix.UtimesNanoAt(unix.AT_FDCWD, a, times, 0), unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(in, "dir/link"), times, unix.AT_SYMLINK_NOFOLLOW),
		unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(in, "dir/sub"), times, 0), unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(in, "dir"), times, 0),
	); err != nil {
		t.Fatal(err)
	}
	const data = "dir/a"
	lower := []tree.Entry{dir("."), with(dir("old"), func(e *tree.Entry) { e.Mode, e.UID = 0o1777, 3 })}
	ops := []Op{
		CopyFile{Src: Source{Dir: in, Path: "dir/a"}, Dst: "/a"}, CopyDir{Src: Source{Dir: in, Path: "dir"}, Dst: "/d", Owner: Owner{GID: ptr(uint32(4))}},
		CopyDir{Src: Source{Dir: in, Path: "dir"}, Dst: "/old", Replace: true, Owner: Owner{GID: ptr(uint32(2))}},
	}
	for preserve, want := range map[bool]string{
		false: ". type=dir mode=0755 uid=0 gid=0 time=11.000000000\n" +
			"./a type=file mode=4751 uid=0 gid=0 time=0.000000000 size=5\n" + data + "\n" +
			"./d type=dir mode=0700 uid=0 gid=4 time=0.000000000\n" +
			"./d/a type=file mode=4751 uid=0 gid=4 time=0.000000000 size=5\n" + data + "\n" +
			"./d/b type=file mode=4751 uid=0 gid=4 time=0.000000000 size=5\n" + data + "\n" +
			"./d/link type=link mode=0777 uid=0 gid=4 time=0.000000000 link=a\n" +
			"./d/sub type=dir mode=0755 uid=0 gid=4 time=0.000000000\n" +
			"./old type=dir mode=1777 uid=3 gid=0 time=11.000000000\n" +
			"./old/a type=file mode=4751 uid=0 gid=2 time=0.000000000 size=5\n" + data + "\n" +
			"./old/b type=file mode=4751 uid=0 gid=2 time=0.000000000 size=5\n" + data + "\n" +
			"./old/link type=link mode=0777 uid=0 gid=2 time=0.000000000 link=a\n" +
			"./old/sub type=dir mode=0755 uid=0 gid=2 time=0.000000000\n",
		true: ". type=dir mode=0755 uid=0 gid=0 time=11.000000000\n" +
			"./a type=file mode=4751 uid=5 gid=70000 time=-3.000000007 size=5 xattr.user.a=MQ==\n" + data + "\n" +
			"./d type=dir mode=0700 uid=6 gid=4 time=-3.000000007 xattr.trusted.d=Mw==\n" +
			"./d/a type=file mode=4751 uid=5 gid=4 time=-3.000000007 size=5 xattr.user.a=MQ==\n" + data + "\n" +
			"./d/b type=file mode=4751 uid=5 gid=4 time=-3.000000007 size=5 hardlink=./d/a xattr.user.a=MQ==\n" +
			"./d/link type=link mode=0777 uid=8 gid=4 time=-3.000000007 link=a xattr.trusted.l=Mg==\n" +
			"./d/sub type=dir mode=0755 uid=0 gid=4 time=-3.000000007\n" +
			"./old type=dir mode=0700 uid=6 gid=2 time=-3.000000007 xattr.trusted.d=Mw==\n" +
			"./old/a type=file mode=4751 uid=5 gid=2 time=-3.000000007 size=5 xattr.user.a=MQ==\n" + data + "\n" +
			"./old/b type=file mode=4751 uid=5 gid=2 time=-3.000000007 size=5 hardlink=./old/a xattr.user.a=MQ==\n" +
			"./old/link type=link mode=0777 uid=8 gid=2 time=-3.000000007 link=a xattr.trusted.l=Mg==\n" +
			"./old/sub type=dir mode=0755 uid=0 gid=2 time=-3.000000007\n",
	} {
		r := apply(t, merged(t, lower), Options{Preserve: preserve}, ops...)
		if have := stream(t, r.Source(tree.Layer)); have != want {
			t.Errorf("preserve %v:\n%s\nexpected\n%s", preserve, have, want)
		}
	}
}

// A directory that is copied goes through links that lead to directories, and replaces
// all else that is in its way.
func TestCopyDirMerges(t *testing.T) {
	in := plant(t, "bin/tool", "file", "was/x", "broken/y", "etc -> /elsewhere")
	lower := []tree.Entry{
		dir("."), symlink("bin", "usr/bin"), dir("usr/bin"), file("usr/bin/sh", "sh"), dir("file"), file("file/below", "b"),
		file("was", "a file"), symlink("broken", "nowhere"), dir("etc"), file("etc/passwd", "p"),
	}
	r := apply(t, merged(t, lower), Options{}, CopyDir{Src: Source{Dir: in, Path: "."}, Dst: "/", Replace: true})
	var have []string
	for e := range all(t, r.Source(tree.Flat)) {
		have = append(have, e.Path+":"+e.Type.String())
	}
	want := ".:dir bin:link broken:dir broken/y:file etc:link file:file usr:dir usr/bin:dir usr/bin/sh:file usr/bin/tool:file was:dir was/x:file"
	if strings.Join(have, " ") != want {
		t.Errorf("%s\nexpected\n%s", strings.Join(have, " "), want)
	}
	_, err := Apply(context.Background(), merged(t, lower), []Op{CopyDir{Src: Source{Dir: in, Path: "."}, Dst: "/"}}, Options{})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("over the root without replace: %v", err)
	}
}

// Names of the source that come to be one are copied in their order.
func TestCopyDirOrder(t *testing.T) {
	lower := []tree.Entry{dir("."), dir("t")}
	var names []string
	for c := 'z'; c >= 'a'; c-- {
		if c != 't' {
			lower = append(lower, symlink(string(c), "t"))
			names = append(names, string(c)+"/x")
		}
	}
	in := plant(t, names...)
	r := apply(t, merged(t, lower), Options{}, CopyDir{Src: Source{Path: in}, Dst: "/", Replace: true})
	if have := content(t, read(t, r.Source(tree.Layer))["t/x"]); have != "z/x" {
		t.Errorf("the last is %q", have)
	}
}

func TestCopyDirLongPath(t *testing.T) {
	in := plant(t, "a/b/c")
	dst := strings.Repeat("/"+strings.Repeat("n", 255), 15) + "/" + strings.Repeat("n", 4091-15*256)
	_, err := Apply(context.Background(), merged(t), []Op{CopyDir{Src: Source{Dir: in, Path: "."}, Dst: dst}}, Options{})
	if err == nil || !strings.Contains(err.Error(), "/a/b/c: path of 4097 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestCancelled(t *testing.T) {
	in := plant(t, "dir/a", "dir/b")
	gone := errors.New("nobody waits")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	if _, err := Apply(ctx, merged(t), []Op{CopyDir{Src: Source{Dir: in, Path: "dir"}, Dst: "/d"}}, Options{}); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

// TestFollow copies what links in a directory lead to, but nothing outside of it.
func TestFollow(t *testing.T) {
	outside := plant(t, "secret")
	for _, c := range []struct {
		name string
		in   []string // as plant takes them
		want string   // of the tree below /d, or of the error
	}{
		{"file", []string{"a/f", "l -> a/f"}, "d:dir d/a:dir d/a/f:file=a/f d/l:file=a/f"},
		{"directory", []string{"a/f", "l -> a"}, "d:dir d/a:dir d/a/f:file=a/f d/l:dir d/l/f:file=a/f"},
		{"chain", []string{"f", "l -> m", "m -> f"}, "d:dir d/f:file=f d/l:file=f d/m:file=f"},
		{"dangling", []string{"l -> nowhere"}, "no such file"},
		{"outside", []string{"l -> " + outside + "/secret"}, "escapes"},
		{"upwards", []string{"a/l -> ../../x"}, "escapes"},
		{"loop", []string{"l -> l"}, "too many"},
		{"itself", []string{"a/f", "a/l -> ."}, "a/l: symbolic link to a directory that holds it"},
		{"its parent", []string{"a/b/l -> .."}, "a/b/l: symbolic link to a directory that holds it"},
		{"the source", []string{"a/l -> .."}, "a/l: symbolic link to a directory that holds it"},
	} {
		r, err := Apply(t.Context(), merged(t), []Op{CopyDir{Src: Source{Path: plant(t, c.in...)}, Dst: "/d"}}, Options{Follow: true})
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, expected %q", c.name, err, c.want)
			}
			continue
		}
		var have []string
		for e := range all(t, r.Source(tree.Flat)) {
			if !strings.HasPrefix(e.Path, "d") {
				continue
			}
			s := e.Path + ":" + e.Type.String()
			if e.Content != nil {
				s += "=" + content(t, *e)
			}
			have = append(have, s)
		}
		if got := strings.Join(have, " "); got != c.want {
			t.Errorf("%s: %s, expected %s", c.name, got, c.want)
		}
	}
}

// TestReads: what is copied from the host is told, and can be refused.
func TestReads(t *testing.T) {
	in := plant(t, "f", "d/a", "d/empty/", "d/l -> a", "d/to -> ../g", "g")
	ops := []Op{CopyFile{Src: Source{Path: in + "/f"}, Dst: "/f"}, CopyDir{Src: Source{Path: in + "/d"}, Dst: "/d"}}
	for _, c := range []struct {
		name string
		ops  []Op
		root *os.Root
	}{
		{"anywhere", ops, nil},
		{"confined", []Op{CopyFile{Src: Source{Path: "/f"}, Dst: "/f"}, CopyDir{Src: Source{Path: "d"}, Dst: "/d"}}, openRoot(t, in)},
	} {
		var have []string
		reads := func(path string) error {
			have = append(have, strings.TrimPrefix(path, in+"/"))
			return nil
		}
		if _, err := Apply(t.Context(), merged(t), c.ops, Options{Root: c.root, Reads: reads}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got, want := strings.Join(have, " "), "f d d/a d/empty"; got != want {
			t.Errorf("%s: reads %q, want %q", c.name, got, want)
		}
		refused := errors.New("refused")
		if _, err := Apply(t.Context(), merged(t), c.ops, Options{Root: c.root, Reads: func(string) error { return refused }}); !errors.Is(err, refused) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestFollowPreserve takes the attributes of what a link leads to.
func TestFollowPreserve(t *testing.T) {
	in := plant(t, "f", "l -> f")
	if err := os.Chmod(filepath.Join(in, "f"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(filepath.Join(in, "f"), "user.a", []byte("1"), 0); err != nil {
		t.Skip(err)
	}
	r := apply(t, merged(t), Options{Follow: true, Preserve: true}, CopyDir{Src: Source{Path: in}, Dst: "/d"})
	e := read(t, r.Source(tree.Flat))["d/l"]
	if v, _ := e.Xattr("user.a"); v != "1" || e.Mode != 0o640 || e.Type != tree.File {
		t.Errorf("%+v", e)
	}
}
