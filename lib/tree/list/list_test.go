package list

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"ocipipe/lib/tree"
)

// entries is a source of entries as they are.
type entries []*tree.Entry

func (s *entries) Next() (*tree.Entry, error) {
	if len(*s) == 0 {
		return nil, io.EOF
	}
	e := *(*s)[0]
	*s = (*s)[1:]
	return &e, nil
}

func (s *entries) Close() error { return nil }

func of(list ...*tree.Entry) tree.Source { s := entries(list); return &s }

func dir(path string) *tree.Entry {
	return &tree.Entry{Path: path, Type: tree.Dir, Mode: 0o755, Nlink: 2}
}

func file(path string, size int64) *tree.Entry {
	return &tree.Entry{Path: path, Type: tree.File, Mode: 0o644, Nlink: 1, Size: size, Content: tree.Bytes(make([]byte, size))}
}

func link(path, target string) *tree.Entry {
	return &tree.Entry{Path: path, Type: tree.Link, Mode: 0o777, Nlink: 1, Link: target}
}

func lines(t *testing.T, src tree.Source, opts LineOptions) string {
	t.Helper()
	var b strings.Builder
	if err := Lines(t.Context(), &b, src, opts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLine(t *testing.T) {
	acl := []tree.Xattr{{Name: "security.capability", Value: "x"}}
	for _, c := range []struct {
		name string
		e    tree.Entry
		want string
	}{
		{"file", tree.Entry{Path: "bin/su", Type: tree.File, Mode: 0o4755, UID: 1, GID: 22, Size: 12345, Nlink: 3, Time: tree.Time{Sec: 1700000000, Nsec: 5}, Xattrs: acl},
			"-rwsr-xr-x+   3     1    22      12345 2023-11-14T22:13:20Z /bin/su"},
		{"root", tree.Entry{Path: ".", Type: tree.Dir, Mode: 0o1777, Nlink: 4}, "drwxrwxrwt    4     0     0          - 1970-01-01T00:00:00Z /"},
		{"special bits without execution", tree.Entry{Path: "a", Type: tree.File, Mode: 0o7640}, "-rwSr-S--T    -     0     0          0 1970-01-01T00:00:00Z /a"},
		{"wide ids", tree.Entry{Path: "a", Type: tree.Fifo, Mode: 0o600, UID: 4294967294, GID: 100000, Nlink: 1}, "prw-------    1 4294967294 100000          - 1970-01-01T00:00:00Z /a"},
		{"symbolic link", tree.Entry{Path: "bin", Type: tree.Link, Mode: 0o777, Link: "usr/bin", Nlink: 1}, "lrwxrwxrwx    1     0     0          7 1970-01-01T00:00:00Z /bin -> usr/bin"},
		{"device", tree.Entry{Path: "null", Type: tree.Char, Mode: 0o666, Dev: tree.Device{Major: 1, Minor: 3}}, "crw-rw-rw-    -     0     0        1,3 1970-01-01T00:00:00Z /null"},
		{"block device", tree.Entry{Path: "sda", Type: tree.Block, Dev: tree.Device{Major: 8}}, "b---------    -     0     0        8,0 1970-01-01T00:00:00Z /sda"},
		{"socket", tree.Entry{Path: "s", Type: tree.Socket, Mode: 0o755}, "srwxr-xr-x    -     0     0          - 1970-01-01T00:00:00Z /s"},
		{"hard link", tree.Entry{Path: "b", Type: tree.File, Hardlink: "d/a", Nlink: 2, Size: 5}, "----------    2     0     0          5 1970-01-01T00:00:00Z /b link to /d/a"},
		{"hard link to a symbolic link", tree.Entry{Path: "b", Type: tree.Link, Link: "x", Hardlink: "a"}, "l---------    -     0     0          1 1970-01-01T00:00:00Z /b link to /a"},
		{"before 1970", tree.Entry{Path: "a", Type: tree.Dir, Time: tree.Time{Sec: -2, Nsec: 500000000}}, "d---------    -     0     0          - 1969-12-31T23:59:58Z /a"},
		{"far time", tree.Entry{Path: "a", Type: tree.Dir, Time: tree.Time{Sec: 1 << 62}}, "d---------    -     0     0          - @4611686018427387904 /a"},
		{"far past", tree.Entry{Path: "a", Type: tree.Dir, Time: tree.Time{Sec: -1 << 62}}, "d---------    -     0     0          - @-4611686018427387904 /a"},
		{"last second with four digits", tree.Entry{Path: "a", Type: tree.Dir, Time: tree.Time{Sec: 253402300799}}, "d---------    -     0     0          - 9999-12-31T23:59:59Z /a"},
		{"whiteout", tree.Entry{Path: "gone", Type: tree.Char}, "c---------    -     0     0        0,0 1970-01-01T00:00:00Z /gone (whiteout)"},
		{"opaque", tree.Entry{Path: "d", Type: tree.Dir, Xattrs: []tree.Xattr{tree.Opaque}}, "d---------    -     0     0          - 1970-01-01T00:00:00Z /d (opaque)"},
		{"implied and opaque", tree.Entry{Path: "d", Type: tree.Dir, NoChange: true, Xattrs: []tree.Xattr{tree.Opaque}}, "d?????????    -     -     -          -                    - /d (opaque)"},
		{"link to a layer below", tree.Entry{Path: "a", Type: tree.File, Lower: &tree.Lower{Targets: []string{"x", "y"}}}, "----------    -     0     0          0 1970-01-01T00:00:00Z /a link to /y (in a layer below)"},
		{"perhaps one", tree.Entry{Path: "a", Type: tree.File, Hardlink: "b", Lower: &tree.Lower{Targets: []string{"y"}, Else: true}}, "----------    -     0     0          0 1970-01-01T00:00:00Z /a link to /b or link to /y (in a layer below)"},
	} {
		if have := lines(t, of(&c.e), LineOptions{}); have != c.want+"\n" {
			t.Errorf("%s:\n%s, expected\n%s", c.name, have, c.want)
		}
	}
}

// Names of any bytes stay in their line, do nothing to a terminal, and do not look like
// something else.
func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                    "plain",
		"Grüße 世界 😀":               "Grüße 世界 😀",
		"two\nlines\t\r":           `two\012lines\011\015`,
		"\x1b[2J\x1b]0;title\x07":  `\033[2J\033]0;title\007`,
		"latin1 \xe9":              `latin1 \351`,
		"\u009b31m":                `\302\2333` + `1m`,
		"\u202egnp.exe":            `\342\200\256gnp.exe`,
		"a\u00a0b\u2028":           `a\302\240b\342\200\250`,
		`a\012`:                    `a\134012`,
		"\x7f\x00":                 `\177\000`,
		"\ufffd":                   "\ufffd",
		"a -> b":                   `a\040-> b`,
		"a link to /b":             `a\040link to /b`,
		"a or link to /b":          `a\040or\040link to /b`,
		"x (whiteout)":             `x\040(whiteout)`,
		"x (opaque)":               `x\040(opaque)`,
		"x (in a layer below) (1)": `x\040(in a layer below) (1)`,
		"ends in a space ":         `ends in a space\040`,
		" begins":                  " begins",
		"a ->":                     `a\040->`,
		"a link":                   `a\040link`,
		"a or":                     `a\040or`,
		"a -":                      "a -",
		"a links":                  "a links",
	} {
		if have := escape(in); have != want {
			t.Errorf("%q: %s, expected %s", in, have, want)
		}
	}
	hostile := "a\nb\x1b"
	for _, e := range []*tree.Entry{file(hostile, 0), link("x", hostile), {Path: "x", Type: tree.File, Hardlink: hostile}} {
		if have := lines(t, of(e), LineOptions{}); strings.Count(have, "\n") != 1 || strings.Contains(have, "\x1b") || !strings.Contains(have, `a\012b\033`) {
			t.Errorf("%q", have)
		}
	}
}

// A name that ends as a suffix begins is not taken for another name with another suffix.
func TestEscapeBeforeSuffix(t *testing.T) {
	for _, same := range [][2]*tree.Entry{
		{link("x ->", "t"), link("x", "-> t")},
		{{Path: "x or", Type: tree.File, Lower: &tree.Lower{Targets: []string{"y"}}}, {Path: "x", Type: tree.File, Lower: &tree.Lower{Targets: []string{"y"}, Else: true}}},
	} {
		a, b := lines(t, of(same[0]), LineOptions{}), lines(t, of(same[1]), LineOptions{})
		if a[strings.Index(a, "/"):] == b[strings.Index(b, "/"):] {
			t.Errorf("%q and %q look the same: %s", same[0].Path, same[1].Path, a)
		}
	}
}

func TestLinesBelow(t *testing.T) {
	all := []*tree.Entry{dir("."), dir("a"), file("a/b", 1), file("a-c", 2), file("ab", 3)}
	for in, want := range map[string]string{
		"": "/ /a /a/b /a-c /ab", "/": "/ /a /a/b /a-c /ab", "/a": "/a /a/b", "./a//": "/a /a/b", "a/b": "/a/b", "ab": "/ab",
	} {
		var have []string
		for line := range strings.Lines(lines(t, of(all...), LineOptions{Dir: in})) {
			f := strings.Fields(line)
			have = append(have, f[len(f)-1])
		}
		if strings.Join(have, " ") != want {
			t.Errorf("%q: %s, expected %s", in, have, want)
		}
	}
	for _, in := range []string{"a/c", "b", "a/.."} {
		err := Lines(t.Context(), io.Discard, of(all...), LineOptions{Dir: in})
		if nf := (*NotFoundError)(nil); !errors.As(err, &nf) || !strings.HasPrefix(err.Error(), "/"+in+": no such file") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestDigests(t *testing.T) {
	have := lines(t, of(dir("."), file("a", 3), &tree.Entry{Path: "b", Type: tree.File, Size: 3, Hardlink: "a"}), LineOptions{Digester: new(tree.Digester)})
	none := " -" + strings.Repeat(" ", 64)
	for _, want := range []string{"Z" + none + "/\n", " 709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c /a\n", "Z" + none + "/b link to /a\n"} {
		if !strings.Contains(have, want) {
			t.Errorf("%s has no %q", have, want)
		}
	}
	big := &tree.Entry{Path: "big", Type: tree.File, Size: 1 << 50, Extents: []tree.Extent{}}
	err := Lines(t.Context(), io.Discard, of(big), LineOptions{Digester: new(tree.Digester)})
	if limit := (*tree.LimitError)(nil); !errors.As(err, &limit) || limit.Which != tree.LimitDigestHoles {
		t.Error(err)
	}
}

// failing is a source that breaks, or a writer.
type failing struct{ err error }

func (f failing) Next() (*tree.Entry, error) { return nil, f.err }

func (f failing) Close() error { return nil }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	done, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	show := map[string]func(context.Context, io.Writer, tree.Source) error{
		"lines": func(ctx context.Context, w io.Writer, src tree.Source) error {
			return Lines(ctx, w, src, LineOptions{})
		},
		"totals": func(ctx context.Context, w io.Writer, src tree.Source) error {
			return Totals(ctx, w, src, TotalOptions{})
		},
		"stored": func(ctx context.Context, w io.Writer, src tree.Source) error {
			return Totals(ctx, w, of(file("a", 1)), TotalOptions{Stored: func(*tree.Entry) (int64, error) { return 0, broken }})
		},
		"sizes": func(ctx context.Context, w io.Writer, src tree.Source) error {
			s := NewSizes(SizesLayer{})
			return errors.Join(s.Show(ctx, s.Counting(0, src)), s.Write(w, false))
		},
	}
	for name, run := range show {
		if err := run(t.Context(), io.Discard, failing{broken}); !errors.Is(err, broken) {
			t.Errorf("%s: source: %v", name, err)
		}
		if err := run(t.Context(), failing{broken}, of(dir("."))); !errors.Is(err, broken) {
			t.Errorf("%s: writer: %v", name, err)
		}
		if err := run(done, io.Discard, of(dir("."))); !errors.Is(err, broken) {
			t.Errorf("%s: context: %v", name, err)
		}
	}
}

func TestTotals(t *testing.T) {
	all := []*tree.Entry{
		dir("."), dir("a"), dir("a/b"), file("a/b/c", 1000), file("a/b/d", 24), {Path: "a/e", Type: tree.File, Size: 1000, Hardlink: "a/b/c"},
		file("f", 1<<20), dir("g\n"), file("implied/deep/file", 5),
	}
	stored := func(e *tree.Entry) (int64, error) { return e.Size / 2, nil }
	for _, c := range []struct {
		opts TotalOptions
		want string
	}{
		{TotalOptions{Bytes: true}, "size names path|1049605 9 /"},
		{TotalOptions{Bytes: true, Depth: 1}, "size names path|1049605 9 /|1024 5 /a|0 1 /g\\012|5 1 /implied"},
		{TotalOptions{Depth: 9}, "size names path|1.0M 9 /|1.0K 5 /a|1.0K 3 /a/b|0 1 /g\\012|5 1 /implied|5 1 /implied/deep"},
		{TotalOptions{Dir: "/a", Stored: stored}, "size stored names path|1.0K 512 5 /a"},
		{TotalOptions{Dir: "a", Depth: 1}, "size names path|1.0K 5 /a|1.0K 3 /a/b"},
		{TotalOptions{Dir: "implied", Depth: 1}, "size names path|5 1 /implied|5 1 /implied/deep"},
		{TotalOptions{Dir: "f"}, "size names path|1.0M 1 /f"},
	} {
		var b strings.Builder
		if err := Totals(t.Context(), &b, of(all...), c.opts); err != nil {
			t.Fatal(err)
		}
		if have := squeeze(b.String()); have != c.want {
			t.Errorf("%+v:\n%s, expected\n%s", c.opts, have, c.want)
		}
	}
}

// squeeze puts text into one line, with single spaces.
func squeeze(text string) string {
	var list []string
	for line := range strings.Lines(text) {
		list = append(list, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(list, "|")
}

func TestFigures(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1023: "1023", 1024: "1.0K", 1536: "1.5K", 1<<20 - 1: "1.0M", 1023 << 10: "1023.0K", 1 << 20: "1.0M", 5 << 40: "5.0T", 1<<63 - 1: "8.0E",
	} {
		if have := figure(n, false); have != want {
			t.Errorf("%d: %s, expected %s", n, have, want)
		}
		if have := figure(n, true); have != fmt.Sprint(n) {
			t.Errorf("%d: %s", n, have)
		}
	}
}

func TestFind(t *testing.T) {
	tr := tree.New()
	for _, e := range []*tree.Entry{
		dir("."), dir("etc"), file("etc/passwd", 3), link("bin", "usr/bin"), dir("usr/bin"), file("usr/bin/sh", 4), link("usr/bin/bash", "/bin/sh"),
		link("out", "../../../../etc/passwd"), link("loop", "loop"), link("dangling", "nowhere"), link("usr/dir", "/etc/"), link("slash", "etc/passwd/"),
		{Path: "null", Type: tree.Char, Dev: tree.Device{Major: 1, Minor: 3}}, {Path: "gone", Type: tree.Char}, {Path: "pipe", Type: tree.Fifo},
		{Path: "hard", Type: tree.File, Hardlink: "etc/passwd"}, {Path: "below", Type: tree.File, Lower: &tree.Lower{Targets: []string{"x"}}},
		file("a\x1b", 1),
	} {
		if _, err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/etc/passwd": "etc/passwd", "etc//./passwd": "etc/passwd", "../etc/passwd": "etc/passwd", "bin/bash": "usr/bin/sh", "/bin/sh": "usr/bin/sh",
		"out": "etc/passwd", "usr/dir/passwd": "etc/passwd", "usr/dir/../etc/passwd": "etc/passwd", "bin/../../etc/passwd": "etc/passwd", "hard": "hard", "a\x1b": "a\x1b",
	} {
		e, err := Find(InTree(tr), path)
		if err != nil || e.Path != want || e.Type != tree.File || e.Content == nil {
			t.Errorf("%s: %+v, %v", path, e, err)
		}
	}
	for path, want := range map[string]string{
		"/": "/: is a directory", "etc": "/etc: is a directory", "usr/dir": "/usr/dir leads to /etc: is a directory", "nothing": "/nothing: no such file", "etc/passwd/x": "/etc/passwd: is not a directory",
		"slash": "/slash leads to /etc/passwd: is not a directory", "dangling": "/dangling leads to /nowhere: no such file", "loop": "more than 40 symbolic links", "null": "/null: is a character device",
		"gone": "/gone: is a whiteout", "pipe": "/pipe: is a named pipe", "below": "/below: is a link to /x in a layer below", "b\n": `/b\012: no such file`,
		strings.Repeat("n", 256): "over 255", "a\x00": `/a\000: NUL`, "bin/../sh": "/bin/../sh leads to /usr/sh: no such file",
		strings.Repeat("etc/../", tree.MaxPath+1): "directories on the way",
	} {
		if e, err := Find(InTree(tr), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, expected %s", path, e, err, want)
		}
	}
	broken := errors.New("broken")
	if _, err := Find(func(string) (*tree.Entry, error) { return nil, broken }, "a"); err != broken {
		t.Error(err)
	}
	if _, err := Find(func(string) (*tree.Entry, error) { return nil, fmt.Errorf("x: %w", fs.ErrNotExist) }, "a"); err == nil || strings.Contains(err.Error(), "x: ") {
		t.Error(err)
	}
}

// A lookup may read large directories: links that go to and fro cost no more than the way there.
func TestFindLooksUpOnce(t *testing.T) {
	tr := tree.New()
	for _, e := range []*tree.Entry{dir("."), dir("d"), file("f", 1), link("l", strings.Repeat("d/../", 800)+"m"), link("m", strings.Repeat("d/./../d/../", 300)+"f")} {
		if _, err := tr.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	calls := map[string]int{}
	e, err := Find(func(path string) (*tree.Entry, error) {
		calls[path]++
		return InTree(tr)(path)
	}, "l")
	if err != nil || e.Path != "f" {
		t.Fatal(e, err)
	}
	for path, n := range calls {
		if n != 1 {
			t.Errorf("%s was looked up %d times", path, n)
		}
	}
}
