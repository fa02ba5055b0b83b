package tree2ext4

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/cli"
	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/read"
)

const (
	head  = "#mtree ocipipe-tree 1 data=inline\n. type=dir mode=0755 uid=0 gid=0 time=1.000000000\n"
	hello = "./hello type=file mode=0644 uid=0 gid=0 time=1700000000.500000000 size=6\nhello\n\n"
	white = "./gone type=char mode=0000 uid=0 gid=0 time=1.000000000 device=native,0,0\n"
)

// run runs the tool on input and returns the file that was its standard output.
func run(t *testing.T, input string, args ...string) (code int, out *os.File, said string) {
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
	out, err := os.Open(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return code, out, string(text)
}

func size(t *testing.T, f *os.File) int64 {
	t.Helper()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

func TestImage(t *testing.T) {
	code, out, said := run(t, head+hello+"#end records=2 bytes=6\n", "--check", "--label", "root", "--mtime", "2024-01-31T12:00:00Z",
		"--uuid", "01234567-89ab-cdef-0123-456789abcdef", "--size", "80M", "--journal", "5M", "--features", "^64bit")
	if code != 0 || said != "" {
		t.Fatalf("code %d: %s", code, said)
	}
	if size(t, out) != 80<<20 {
		t.Errorf("%d bytes", size(t, out))
	}
	img, err := read.Open(out, size(t, out))
	if err != nil {
		t.Fatal(err)
	}
	e, err := img.Lookup("hello")
	if err != nil || e.Size != 6 || e.Time.Sec != 1706702400 || img.Label() != "root" || img.UUID()[15] != 0xef {
		t.Errorf("%+v, %v, label %q, UUID %x", e, err, img.Label(), img.UUID())
	}
}

func TestSizes(t *testing.T) {
	sizes := map[string]int64{}
	for _, args := range []string{"", "--free-space=none", "--free-space=1G", "--shrink", "--shrink --journal=none", "--free-inodes=100000", "--max-size=4T --shrink"} {
		code, out, said := run(t, head+hello+"#end records=2 bytes=6\n", strings.Fields(args)...)
		if code != 0 || said != "" {
			t.Fatalf("%s: code %d: %s", args, code, said)
		}
		sizes[args] = size(t, out)
	}
	if a, b := sizes["--shrink"], sizes["--free-space=none"]; a > b || b-a > 1<<20 || a > 2<<20 {
		t.Errorf("the smallest has %d bytes, without free space it has %d", a, b)
	}
	if a, b := sizes[""], sizes["--free-space=1G"]; a <= 512<<20 || b <= 1<<30 || b > 2<<30 {
		t.Errorf("by default %d bytes, with 1G free %d", a, b)
	}
	if sizes["--max-size=4T --shrink"] <= sizes["--shrink"] || sizes["--free-inodes=100000"] <= sizes[""] {
		t.Errorf("room for more takes no room: %v", sizes)
	}
}

func TestFailures(t *testing.T) {
	end := "#end records=2 bytes=6\n"
	for _, c := range []struct {
		name, input string
		args        []string
		code        int
		said        string
	}{
		{"whiteout", head + white + "#end records=2 bytes=0\n", nil, 1, "gone: whiteout: only the upper disk of an overlay can hold it\ntree2ext4: hint: merge the layers"},
		{"cut short", head + hello, nil, 1, "cut short"},
		{"no input", "", nil, 1, "empty"},
		{"no data", strings.Replace(head, "inline", "none", 1) + "#end records=1 bytes=0\n", nil, 1, ""},
		{"crc", head + hello + end, []string{"--require-crc"}, 1, "no CRC"},
		{"too small", head + hello + end, []string{"--size=1M", "--journal=4M"}, 1, "hint: --size 5M is enough"},
		{"limit", head + hello + end, []string{"--max-entries=1"}, 1, "--max-entries raises"},
		{"size", head, []string{"--size=1X"}, 2, "not a size"},
		{"features", head, []string{"--features=^flex_bg"}, 2, "needs flex_bg"},
		{"unknown feature", head, []string{"--features=bigalloc"}, 2, "unknown feature"},
		{"journal", head, []string{"--journal=1M"}, 2, "journal of 1048576 bytes"},
		{"label", head, []string{"--label=a name of 17 byte"}, 2, "label"},
		{"size and shrink", head, []string{"--size=1G", "--shrink"}, 2, "the size is given"},
	} {
		code, out, said := run(t, c.input, c.args...)
		if code != c.code || !strings.Contains(said, c.said) || !strings.HasPrefix(said, "tree2ext4: ") {
			t.Errorf("%s: code %d: %s", c.name, code, said)
		}
		if n := size(t, out); n != 0 {
			t.Errorf("%s: left %d bytes", c.name, n)
		}
	}
}

// Every feature that can be chosen is in the help, but for the one that a root file
// system needs.
func TestHelp(t *testing.T) {
	_, out, _ := run(t, "", "--help")
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ext4.FeatureNames() {
		if !strings.Contains(string(text), "^"+name) && !strings.Contains(string(text), name+" (") && name != "flex_bg" {
			t.Errorf("%s is not in the help", name)
		}
	}
}
