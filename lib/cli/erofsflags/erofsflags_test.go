package erofsflags

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
)

// tool shows what the flags say.
type tool struct {
	Compression
	got *erofs.Compression
}

func (t *tool) Run(env *cli.Env) (err error) {
	t.got, err = t.Options(env)
	return err
}

// parse runs the tool with args and the standard input hints.
func parse(t *testing.T, hints string, args ...string) (got *erofs.Compression, said string) {
	t.Helper()
	dir, out := t.TempDir(), &tool{}
	var streams [3]*os.File
	for i := range streams {
		f, err := os.Create(filepath.Join(dir, string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		streams[i] = f
	}
	streams[0].WriteString(hints)
	streams[0].Seek(0, 0)
	about := (cli.Manual{Name: "tool", Summary: "Show flags."}).With(About)
	code := cli.Run(about, out, args, cli.Streams{Stdin: streams[0], Stdout: streams[1], Stderr: streams[2]})
	text, _ := os.ReadFile(streams[2].Name())
	if (code == 0) != (len(text) == 0) {
		t.Errorf("%q: code %d: %s", args, code, text)
	}
	return out.got, string(text)
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		args, hints, key string
	}{
		{"", "", ""},
		{"-z none", "", ""},
		{"-z zstd", "", "z1-zstd-3-64k"},
		{"-z zstd,3 --pcluster 64K", "", "z1-zstd-3-64k"},
		{"--compress=lz4hc --pcluster 1M --extents encoded", "", "z1-lz4hc-9-1024k-encoded"},
		{"-z lz4 --extents index", "", "z1-lz4-64k"},
		{"-z none --compress-hints -", "*.log zstd\n", "z1-none-64k-h"},
		{"--compress-hints -", "*.log zstd\n", "z1-none-64k-h"},
		{"-z lz4 --compress-hints -", "", "z1-lz4-64k"},
	} {
		got, said := parse(t, c.hints, strings.Fields(c.args)...)
		if key := got.Key(4096); key != c.key && !(c.hints != "" && strings.HasPrefix(key, c.key) && len(key) == len(c.key)+16) {
			t.Errorf("%q: %q, want %q: %s", c.args, key, c.key, said)
		}
	}
}

func TestRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--pcluster 4K":                       "--pcluster is about compressed files, and needs --compress",
		"-z none --extents encoded":           "--extents is about compressed files",
		"-z zstd,99":                          "the levels of zstd are 1 to 22",
		"-z gzip":                             "is not an algorithm",
		"-z lz4 --pcluster 0":                 "0 bytes holds nothing",
		"-z lz4 --extents all":                "--extents",
		"-z lz4 --compress-hints -":           "tool: line 1: ",
		"-z lz4 --compress-hints /dev/null/x": "/dev/null/x: /dev/null is not a directory",
	} {
		if _, said := parse(t, "*.log\n", strings.Fields(args)...); !strings.HasPrefix(said, "tool: ") || !strings.Contains(said, want) {
			t.Errorf("%q: %s", args, said)
		}
	}
}
