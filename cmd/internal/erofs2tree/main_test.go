package erofs2tree

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/tree"
)

type content string

func (c content) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(c))
	return int64(n), err
}

// image writes an image with one file and returns its name.
func image(t *testing.T) string {
	t.Helper()
	return imageOf(t, erofs.Options{}, "hello\n")
}

func imageOf(t *testing.T, opts erofs.Options, text string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := erofs.NewWriter(t.Context(), f, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&tree.Entry{Path: "hello", Type: tree.File, Mode: 0o644, Size: int64(len(text)), Content: content(text)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// run runs the tool with stdin and returns what it writes and says.
func run(t *testing.T, stdin *os.File, args ...string) (code int, out, said string) {
	t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	if stdin == nil {
		stdin = files[0]
	}
	code = cli.Run(manual, &tool{}, args, cli.Streams{Stdin: stdin, Stdout: files[0], Stderr: files[1]})
	b, _ := os.ReadFile(files[0].Name())
	text, _ := os.ReadFile(files[1].Name())
	return code, string(b), string(text)
}

const (
	records = ". type=dir mode=0755 uid=0 gid=0 time=0.000000000\n" +
		"./hello type=file mode=0644 uid=0 gid=0 time=0.000000000 size=6"
	digest = " sha256digest=5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
)

func TestForms(t *testing.T) {
	name := image(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "data=inline\n" + records + "\nhello\n\n#end records=2 bytes=6 "},
		{[]string{"--no-data"}, records + "\n#"},
		{[]string{"--no-data", "--digest"}, records + digest + "\n#"},
		{[]string{"--no-data=portable"}, "type=file mode=0644"},
	} {
		code, out, said := run(t, nil, append(c.args, name)...)
		if code != 0 || said != "" || !strings.Contains(out, c.want) {
			t.Errorf("%q: code %d: %s%s", c.args, code, said, out)
		}
	}
}

// Standard input may be a file or a pipe.
func TestStandardInput(t *testing.T) {
	name := image(t)
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, want, _ := run(t, nil, name)
	if code, out, said := run(t, file, "-"); code != 0 || out != want {
		t.Errorf("file: code %d: %s", code, said)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		b, _ := os.ReadFile(name)
		w.Write(b)
		w.Close()
	}()
	if code, out, said := run(t, r, "-"); code != 0 || out != want {
		t.Errorf("pipe: code %d: %s", code, said)
	}
}

func TestFailures(t *testing.T) {
	name := image(t)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	short, broken := name+".short", name+".broken"
	b[1024+100] ^= 1
	if err := os.WriteFile(broken, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(short, b[:2000], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		said string
	}{
		{"no argument", nil, 2, "image"},
		{"no file", []string{name + ".none"}, 1, "no such file"},
		{"truncated", []string{short}, 1, "cut short"},
		{"checksum", []string{broken}, 1, "byte 1024: superblock has checksum"},
		{"digest with data", []string{"--digest", name}, 2, "--no-data"},
		{"unknown form", []string{"--no-data=x", name}, 2, "portable"},
		{"limit", []string{"--max-entries=1", name}, 1, "--max-entries"},
	} {
		code, out, said := run(t, nil, c.args...)
		if code != c.code || !strings.Contains(said, c.said) || !strings.HasPrefix(said, "erofs2tree: ") || out != "" {
			t.Errorf("%s: code %d, %d bytes: %s", c.name, code, len(out), said)
		}
	}
}

// fsmeta merges the layers and returns the name of the image.
func fsmeta(t *testing.T, opts erofs.Options, names ...string) string {
	t.Helper()
	var files []*os.File
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	devices, of, err := erofsread.Devices(files)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := merge.Open(devices, of)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "fsmeta"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := erofs.WriteFsmeta(context.Background(), out, layers, tree.Limits{}, opts); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// Several layers are merged, the same whether they are given alone or as the
// devices of an fsmeta.
func TestLayers(t *testing.T) {
	a, b := imageOf(t, erofs.Options{Layer: true}, "first\n"), imageOf(t, erofs.Options{Layer: true}, "second")
	f, noTable := fsmeta(t, erofs.Options{}, a, b), fsmeta(t, erofs.Options{NoDeviceTable: true}, a, b)
	const want = ". type=dir mode=0755 uid=0 gid=0 time=0.000000000\n" +
		"./hello type=file mode=0644 uid=0 gid=0 time=0.000000000 size=6\nsecond\n#end "
	for _, args := range [][]string{
		{a, b}, {a, b, a, b}, {f, "--device", a, "--device", b}, {"--device", a, "--device=" + b, "--device", a, f},
		{noTable, "--device", a, "--device", b},
	} {
		code, out, said := run(t, nil, args...)
		if code != 0 || said != "" || !strings.Contains(out, want) {
			t.Errorf("%q: code %d: %s%s", args, code, said, out)
		}
	}
	if _, out, _ := run(t, nil, a, b, a); !strings.Contains(out, "\n#:layers=3\n") || !strings.Contains(out, "first\n") {
		t.Errorf("three layers: %s", out)
	}
	for _, c := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{a, b, "--device", a}, 2, "single image"},
		{[]string{f, "--device", b, "--device", a}, 1, "device 1, " + b + ": is the image with the UUID"},
		{[]string{f, "--device", a}, 1, "2 devices, and 1 are given"},
		{[]string{f}, 1, "hint: name the layers: --device"},
		{[]string{noTable}, 1, "cut short"},
		{[]string{a, b + ".none"}, 1, "no such file"},
		{[]string{a, "/dev/null"}, 1, "/dev/null: "},
		{[]string{a, b, "--max-file-size=5"}, 1, a + ": hello: file of 6 bytes"},
	} {
		code, _, said := run(t, nil, c.args...)
		if code != c.code || !strings.Contains(said, c.said) || !strings.HasPrefix(said, "erofs2tree: ") {
			t.Errorf("%q: code %d: %s", c.args, code, said)
		}
	}
}
