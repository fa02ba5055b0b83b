package reftest

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFind(t *testing.T) {
	if _, err := find("no-such-tool-as-this"); err == nil {
		t.Error("found a tool that does not exist")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$1\" = --version ] && echo && echo 'fake 1.2.3' && echo more && exit\nread line; echo \"$line $*\"; exit 3\n"
	if err := os.WriteFile(dir+"/faketool", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	list(t, "faketool")
	Need(t, "faketool")
	if v := version("faketool"); v != "fake 1.2.3" {
		t.Errorf("version %q", v)
	}
	out, err := TryInput(t, []byte("in\n"), "faketool", "a", "b")
	if out != "in a b\n" || err == nil || !strings.Contains(err.Error(), "faketool a b: exit status 3") {
		t.Errorf("Try = %q, %v", out, err)
	}
}

// fakeTB records how a helper ends a test.
type fakeTB struct {
	testing.TB
	ended string
}

func (f *fakeTB) Helper()                           {}
func (f *fakeTB) Logf(string, ...any)               {}
func (f *fakeTB) Skip(args ...any)                  { f.ended += "skip " + fmt.Sprint(args...) }
func (f *fakeTB) Errorf(format string, args ...any) { f.ended += fmt.Sprintf(format, args...) }
func (f *fakeTB) Fatalf(format string, args ...any) {
	f.ended += "fatal " + fmt.Sprintf(format, args...)
	panic("fatal")
}

// needs returns how Need ends a test.
func needs(tool string) string {
	fake := &fakeTB{}
	func() {
		defer func() { recover() }()
		Need(fake, tool)
	}()
	return fake.ended
}

// list has a tool in tools.txt until t ends.
func list(t *testing.T, tool string) {
	Tools()[tool] = "package"
	t.Cleanup(func() { delete(Tools(), tool) })
}

func TestMissingTool(t *testing.T) {
	list(t, "no-such-tool")
	for ci, want := range map[string]string{"": "skip no-such-tool is not installed", "true": "fatal CI=true, and this cannot run: no-such-tool is not installed"} {
		t.Setenv("CI", ci)
		if got := needs("no-such-tool"); got != want {
			t.Errorf("CI=%s: %q, want %q", ci, got, want)
		}
	}
	for _, tool := range []string{"true", "no-such-tool-either", "#", ""} {
		if got, want := needs(tool), "fatal "+tool+" is not in lib/reftest/tools.txt"; !strings.HasPrefix(got, want) {
			t.Errorf("%q, which is not listed: %q, want %q", tool, got, want)
		}
	}
}

// plant makes a tree with every kind of thing that a user may make, and as root
// the others too.
func plant(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	do(os.Mkdir(at("d"), 0o755))
	do(os.WriteFile(at("d/f"), []byte("content"), 0o644))
	do(os.Chmod(at("d/f"), 0o644))
	do(os.Link(at("d/f"), at("d/g")))
	do(os.Symlink("f", at("d/l")))
	do(unix.Mkfifo(at("p"), 0o600))
	do(os.WriteFile(at("sparse"), nil, 0o600))
	do(os.Truncate(at("sparse"), 1<<20))
	if os.Geteuid() == 0 {
		do(unix.Mknod(at("c"), unix.S_IFCHR|0o600, int(unix.Mkdev(259, 70000))))
		do(os.Lchown(at("d/l"), 1, 2))
		do(unix.Setxattr(at("d"), "trusted.overlay.opaque", []byte("y"), 0))
	}
	old := unix.NsecToTimespec(-1_500_000_000)
	do(unix.UtimesNanoAt(unix.AT_FDCWD, at("d/f"), []unix.Timespec{old, old}, 0))
	return dir
}

func byPath(facts []Fact) map[string]Fact {
	m := map[string]Fact{}
	for _, f := range facts {
		m[f.Path] = f
	}
	return m
}

func TestWalk(t *testing.T) {
	facts := byPath(Walk(t, plant(t), Look{Extents: true, DirLinks: true}))
	f := facts["d/f"]
	want := Fact{Path: "d/f", Type: "file", Mode: 0o644, UID: f.UID, GID: f.GID, Time: "-2.500000000", Size: 7, Nlink: 2, SameAs: "d/f",
		Sum: "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73", Extents: "0+7"}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("d/f is\n%+v, want\n%+v", f, want)
	}
	for _, c := range []struct {
		path      string
		got, want any
	}{
		{"d/g", facts["d/g"].SameAs, "d/f"},
		{"d/l", facts["d/l"].Link, "f"},
		{"d/l", facts["d/l"].Type, "link"},
		{"p", facts["p"].Type, "fifo"},
		{".", facts["."].Type, "dir"},
		{".", facts["."].Nlink, uint64(3)},
		{"sparse", facts["sparse"].Size, int64(1 << 20)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.path, c.got, c.want)
		}
	}
	if e := facts["sparse"].Extents; e != "-" && e != "0+1048576" {
		t.Errorf("sparse: extents %q", e)
	}
	if os.Geteuid() == 0 {
		if c := facts["c"]; c.Dev != "259:70000" || c.Type != "char" {
			t.Errorf("c is %+v", c)
		}
		if l := facts["d/l"]; l.UID != 1 || l.GID != 2 {
			t.Errorf("d/l is %+v", l)
		}
		if x := facts["d"].Xattrs.String(); x != `{trusted.overlay.opaque="y"}` {
			t.Errorf("d has %s", x)
		}
	}
}

// TestDiffFindsEveryField changes one field after the other, all there are.
func TestDiffFindsEveryField(t *testing.T) {
	base := Fact{Path: "a", Type: "file", Xattrs: Xattrs{"user.a": "1"}}
	for i := range reflect.TypeFor[Fact]().NumField() {
		field := reflect.TypeFor[Fact]().Field(i).Name
		changed := base
		switch v := reflect.ValueOf(&changed).Elem().Field(i); v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Uint32, reflect.Uint64:
			v.SetUint(v.Uint() + 1)
		case reflect.Map:
			v.Set(reflect.ValueOf(Xattrs{"user.a": "2"}))
		default:
			t.Fatalf("%s: teach this test kind %v", field, v.Kind())
		}
		lines := Diff([]Fact{base}, []Fact{changed})
		if field == "Path" {
			if len(lines) != 2 {
				t.Errorf("another path: %q", lines)
			}
			continue
		}
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "a: "+field+" is ") {
			t.Errorf("%s differs: %q", field, lines)
		}
		if lines := Diff([]Fact{base}, []Fact{changed}, field); len(lines) != 0 {
			t.Errorf("%s ignored: %q", field, lines)
		}
	}
}

func TestDiffNames(t *testing.T) {
	a, b, c := Fact{Path: "a", Type: "dir"}, Fact{Path: "b", Type: "dir"}, Fact{Path: "c", Type: "file"}
	got := Diff([]Fact{a, b}, []Fact{c, a, a})
	want := []string{"a: there twice", "b: missing (dir)", "c: should not exist (file)"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Diff([]Fact{a, b}, []Fact{b, a}); len(got) != 0 {
		t.Errorf("order counted: %q", got)
	}
	fake := &fakeTB{}
	if Compare(fake, []Fact{a}, []Fact{b}); !strings.HasPrefix(fake.ended, "2 differences in 1 entries") {
		t.Errorf("Compare said %q", fake.ended)
	}
}

// TestWalkFindsEveryChange changes one thing at a time on disk.
func TestWalkFindsEveryChange(t *testing.T) {
	dir := plant(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	before := Walk(t, dir, Look{})
	for _, c := range []struct {
		name, line string
		change     func() error
	}{
		{"content and time", "d/f: Sum is ", func() error { return os.WriteFile(at("d/f"), []byte("CONTENT"), 0) }},
		{"mode", "d/f: Mode is 0600, want 0644", func() error { return os.Chmod(at("d/f"), 0o600) }},
		{"link", `d/l: Link is "g", want "f"`, func() error { os.Remove(at("d/l")); return os.Symlink("g", at("d/l")) }},
		{"one nanosecond", "p: Time is ", func() error { return os.Chtimes(at("p"), time.Time{}, time.Unix(7, 1)) }},
		{"removal", "sparse: missing (file)", func() error { return os.Remove(at("sparse")) }},
		{"unlinked", `d/g: SameAs is "d/g", want "d/f"`, func() error {
			os.Remove(at("d/g"))
			return os.WriteFile(at("d/g"), []byte("content"), 0o644)
		}},
		{"type", `p: Type is "dir", want "fifo"`, func() error { os.Remove(at("p")); return os.Mkdir(at("p"), 0o600) }},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		lines := Diff(before, Walk(t, dir, Look{}))
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, c.line) }) {
			t.Errorf("%s: not found among\n%s", c.name, strings.Join(lines, "\n"))
		}
	}
}

func TestMount(t *testing.T) {
	NeedRoot(t)
	dir := plant(t)
	want := Walk(t, dir, Look{})
	image := filepath.Join(t.TempDir(), "image")
	Run(t, "mkfs.erofs", "-x1", "-Eforce-inode-extended", image, dir)
	mounted := Mount(t, "erofs", image, "")
	Compare(t, want, Walk(t, mounted, Look{}))

	upper := t.TempDir()
	os.WriteFile(filepath.Join(upper, "new"), []byte("x"), 0o644)
	got := byPath(Walk(t, Overlay(t, mounted, upper), Look{}))
	if got["new"].Type != "file" || got["sparse"].Type != "file" {
		t.Errorf("overlay holds %v", got)
	}
	got = byPath(Walk(t, Overlay(t, upper), Look{}))
	if got["new"].Type != "file" {
		t.Errorf("overlay of one directory holds %v", got)
	}

	garbage := filepath.Join(t.TempDir(), "garbage")
	os.WriteFile(garbage, make([]byte, 1<<16), 0o600)
	if _, err := TryMount(t, "erofs", garbage, ""); err == nil {
		t.Error("zeros mounted as erofs")
	}
}
