package mkext4upper

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

const (
	head  = "#mtree ocipipe-tree 1 data=inline\n"
	root  = ". type=dir mode=1750 uid=7 gid=0 time=1.000000000\n"
	hello = "./sub/hello type=file mode=0644 uid=0 gid=0 time=1700000000.500000000 size=6\nhello\n\n"
	white = "./gone type=char mode=0000 uid=0 gid=0 time=1.000000000 device=native,0,0\n"
	end   = "#end records=3 bytes=6\n"
)

// run runs the tool on input; its standard output is the file out.
func run(t *testing.T, input string, args ...string) (code int, out, said string) {
	t.Helper()
	dir := t.TempDir()
	open := func(name, content string) *os.File {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	stderr := open("err", "")
	code = cli.Run(manual, &tool{}, args, cli.Streams{Stdin: open("in", input), Stdout: open("out", ""), Stderr: stderr})
	text, _ := os.ReadFile(stderr.Name())
	return code, filepath.Join(dir, "out"), string(text)
}

// look is what the disk in the file has under path.
func look(t *testing.T, name, path string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := read.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	e, err := img.Lookup(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v %o %d", e.Type, e.Mode, e.UID)
}

func must(t *testing.T, input string, args ...string) (out, said string) {
	t.Helper()
	code, out, said := run(t, input, args...)
	if code != 0 {
		t.Fatalf("%v: code %d: %s", args, code, said)
	}
	return out, said
}

// erofsImage is an image whose root, and sub, have attributes of their own.
func erofsImage(t *testing.T) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "lower.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := erofs.NewWriter(t.Context(), f, erofs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o711, UID: 9}, {Path: "sub", Type: tree.Dir, Mode: 0o700, UID: 8}} {
		if err := w.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestUpper(t *testing.T) {
	lower := erofsImage(t)
	stream := head + root + hello + white + end
	for _, c := range []struct {
		name, input string
		args        []string
		want        map[string]string
		said        string
	}{
		{"empty", "", nil, map[string]string{"upper": "dir 755 0", "work": "dir 755 0"}, ""},
		{"mode", "", []string{"--root-mode=1777"}, map[string]string{"upper": "dir 1777 0"}, ""},
		{"from", "", []string{"--root-from=" + lower}, map[string]string{"upper": "dir 711 9"}, ""},
		{"both", "", []string{"--root-from=" + lower, "--root-mode=0700"}, map[string]string{"upper": "dir 700 9"}, ""},
		{"tree", stream, []string{"--tree=-"}, map[string]string{"upper": "dir 1750 7", "upper/sub": "dir 755 0", "upper/sub/hello": "file 644 0", "upper/gone": "char 0 0"},
			"mkext4upper: warning: sub: a directory that is only implied"},
		{"tree, from", stream, []string{"--tree=-", "--root-from=" + lower}, map[string]string{"upper": "dir 1750 7", "upper/sub": "dir 700 8"}, ""},
	} {
		out, said := must(t, c.input, append(c.args, "--size=64M", "--check")...)
		for path, want := range c.want {
			if have := look(t, out, path); have != want {
				t.Errorf("%s: %s: have %s, want %s", c.name, path, have, want)
			}
		}
		if !strings.HasPrefix(said, c.said) || c.said == "" && said != "" {
			t.Errorf("%s: said %q", c.name, said)
		}
	}
	out, _ := must(t, stream, "--tree=-", "--size=64M")
	again, _ := must(t, "", "--size=64M", "--root-from="+out)
	if have := look(t, again, "upper"); have != "dir 755 0" { // the root of the disk, not /upper
		t.Errorf("from ext4: %s", have)
	}
}

func TestGrow(t *testing.T) {
	out, _ := must(t, "", "--size=64M")
	must(t, "", "--grow="+out, "--size=200M")
	if fi, err := os.Stat(out); err != nil || fi.Size() != 200<<20 {
		t.Errorf("%v, %v", fi, err)
	}
	if have := look(t, out, "work"); have != "dir 755 0" {
		t.Errorf("afterwards: %s", have)
	}
}

func TestFailures(t *testing.T) {
	disk, _ := must(t, "", "--size=64M")
	lower := head + root + "./l type=file mode=0644 uid=0 gid=0 time=1.000000000 size=0 hardlink=./below lower\n#end records=2 bytes=0\n"
	for _, c := range []struct {
		name, input string
		args        []string
		code        int
		said        string
	}{
		{"no size", "", nil, 2, "--size"},
		{"small", "", []string{"--size=63M"}, 2, "too small"},
		{"large", "", []string{"--size=65T"}, 2, "too large"},
		{"mode", "", []string{"--size=64M", "--root-mode=0999"}, 2, "is not a mode"},
		{"large mode", "", []string{"--size=64M", "--root-mode=10000"}, 2, "is not a mode"},
		{"uuid", "", []string{"--size=64M", "--uuid=1"}, 2, "not a UUID"},
		{"reserve", "", []string{"--size=64M", "--reserve-growth=16T"}, 2, "resize_inode ends below"},
		{"features", "", []string{"--size=64M", "--features=^extents"}, 2, "unknown feature"},
		{"lower link", lower, []string{"--size=64M", "--tree=-"}, 1, "l: hard link to below in a layer below"},
		{"cut short", head + root + hello, []string{"--size=64M", "--tree=-"}, 1, "cut short"},
		{"missing tree", "", []string{"--size=64M", "--tree=/nowhere/tree"}, 1, "no such file"},
		{"missing image", "", []string{"--size=64M", "--root-from=/nowhere/image"}, 1, "no such file"},
		{"no image", "", []string{"--size=64M", "--root-from=/dev/null"}, 1, "the input is empty"},
		{"grow with more", "", []string{"--size=128M", "--grow=" + disk, "--label=x"}, 2, "--grow goes with --size alone"},
		{"grow with a limit", "", []string{"--size=128M", "--grow=" + disk, "--tree=-"}, 2, "--grow goes with --size alone"},
		{"grow less", "", []string{"--size=32M", "--grow=" + disk}, 1, disk},
		{"grow nothing", "", []string{"--size=128M", "--grow=/nowhere/disk"}, 1, "no such file"},
		{"grow a directory", "", []string{"--size=128M", "--grow=/dev"}, 1, "/dev"},
		{"grow a pipe", "", []string{"--size=128M", "--grow=/dev/null"}, 1, "neither a regular file nor a block device"},
	} {
		code, out, said := run(t, c.input, c.args...)
		if code != c.code || !strings.Contains(said, c.said) || !strings.HasPrefix(said, "mkext4upper: ") {
			t.Errorf("%s: code %d: %s", c.name, code, said)
		}
		if fi, err := os.Stat(out); err != nil || fi.Size() != 0 {
			t.Errorf("%s: left %v, %v", c.name, fi.Size(), err)
		}
	}
}

// Every feature that can be chosen is in the help.
func TestHelp(t *testing.T) {
	out, _ := must(t, "", "--help")
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ext4.FeatureNames() {
		if !strings.Contains(string(text), "^"+name) && !strings.Contains(string(text), name+" (") {
			t.Errorf("%s is not in the help", name)
		}
	}
}
