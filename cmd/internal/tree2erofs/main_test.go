package tree2erofs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/cli"
	erofsread "ocipipe/lib/erofs/read"
)

const (
	head  = "#mtree ocipipe-tree 1 data=inline\n. type=dir mode=0755 uid=0 gid=0 time=1.000000000\n"
	hello = "./hello type=file mode=0644 uid=0 gid=0 time=1700000000.500000000 size=6\nhello\n\n"
	white = "./gone type=char mode=0000 uid=0 gid=0 time=1.000000000 device=native,0,0\n"
)

// run runs the tool on input and returns what it says.
func run(t *testing.T, input string, args ...string) (code int, out []byte, said string) {
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
	stdout, stderr := open("out", ""), open("err", "")
	code = cli.Run(manual, &tool{}, args, cli.Streams{Stdin: open("in", input), Stdout: stdout, Stderr: stderr})
	out, _ = os.ReadFile(stdout.Name())
	text, _ := os.ReadFile(stderr.Name())
	return code, out, string(text)
}

func TestImage(t *testing.T) {
	code, out, said := run(t, head+hello+"#end records=2 bytes=6\n", "--check", "--label", "root", "--mtime", "2024-01-31T12:00:00Z",
		"--uuid", "01234567-89ab-cdef-0123-456789abcdef")
	if code != 0 || said != "" {
		t.Fatalf("code %d: %s", code, said)
	}
	img, err := erofsread.Open(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := img.Lookup("hello")
	if err != nil || e.Size != 6 || e.Time.Sec != 1706702400 || img.Label() != "root" || img.UUID()[15] != 0xef {
		t.Errorf("%+v, %v, label %q, UUID %x", e, err, img.Label(), img.UUID())
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, input string
		args        []string
		code        int
		said        string
	}{
		{"whiteout", head + white + "#end records=2 bytes=0\n", nil, 1, "gone: whiteout: only the image of a layer can hold it\ntree2erofs: hint: use --layer"},
		{"cut short", head + hello, nil, 1, "cut short"},
		{"aborted", head + "\n#abort message=no\\040layer\n", nil, 1, "no layer"},
		{"no input", "", nil, 1, "empty"},
		{"no data", strings.Replace(head, "inline", "none", 1) + "#end records=1 bytes=0\n", nil, 1, ""},
		{"no checksum", head + "#end records=1 bytes=0\n", []string{"--require-crc"}, 1, "no CRC"},
		{"limit", head + hello + "#end records=2 bytes=6\n", []string{"--max-entries=1"}, 1, "--max-entries"},
		{"block size", head, []string{"--block-size=5000"}, 2, "power of two"},
		{"label", head, []string{"--label=0123456789abcdef"}, 2, "15 bytes"},
		{"uuid", head, []string{"--uuid=1234"}, 2, "not a UUID"},
		{"time", head, []string{"--mtime=yesterday"}, 2, "not a time"},
	} {
		code, out, said := run(t, c.input, c.args...)
		if code != c.code || !strings.Contains(said, c.said) || !strings.HasPrefix(said, "tree2erofs: ") {
			t.Errorf("%s: code %d: %s", c.name, code, said)
		}
		if len(out) > 0 {
			t.Errorf("%s: %d bytes are left in the output", c.name, len(out))
		}
	}
}

// A target is as it was after a failure, and nothing else is left.
func TestTargetUntouched(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "image")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, said := run(t, head+hello, "-o", target); code != 1 {
		t.Errorf("code %d: %s", code, said)
	}
	names, _ := os.ReadDir(dir)
	if b, _ := os.ReadFile(target); string(b) != "old" || len(names) != 1 {
		t.Errorf("target has %q; %v", b, names)
	}
	if code, _, said := run(t, head+hello+"#end records=2 bytes=6\n", "-o", target); code != 0 {
		t.Errorf("code %d: %s", code, said)
	}
	if b, _ := os.ReadFile(target); len(b) != 4096 {
		t.Errorf("target has %d bytes", len(b))
	}
}

func TestLayer(t *testing.T) {
	code, out, said := run(t, head+white+"#end records=2 bytes=0\n", "--layer", "--check")
	if code != 0 || said != "" || len(out) != 4096 {
		t.Errorf("code %d, %d bytes: %s", code, len(out), said)
	}
}
