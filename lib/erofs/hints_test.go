package erofs

import (
	"errors"
	"io"
	"path"
	"strings"
	"testing"
	"testing/iotest"

	"ocipipe/lib/erofs/z"
)

func TestParseMethod(t *testing.T) {
	for s, want := range map[string]Method{
		"none": {z.Raw, 0}, "lz4": {z.LZ4, 1}, "lz4hc": {z.LZ4, 9}, "lz4hc,12": {z.LZ4, 12}, "zstd": {z.Zstd, 3}, "zstd,22": {z.Zstd, 22}, "deflate,1": {z.Deflate, 1},
	} {
		if m, err := ParseMethod(s); err != nil || m != want {
			t.Errorf("%s: %+v, %v", s, m, err)
		}
	}
	for s, want := range map[string]string{
		"": `"" is not an algorithm`, "lzma": "not an algorithm", "zstd,": "levels of zstd are 1 to 22", "zstd,0": "levels", "zstd,+": "levels",
		"lz4hc,1": "2 to 12", "deflate,10": "1 to 9", "lz4,2": "lz4 has no levels", "none,1": "none has no levels", "zstd,1,2": "levels",
	} {
		if _, err := ParseMethod(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func TestParseHints(t *testing.T) {
	hints, err := ParseHints(strings.NewReader("# comment\n\n  *.gz\tnone\nusr/share/a file  zstd,19\r\n./var lz4hc\n"))
	want := []Hint{{"*.gz", Method{Algorithm: z.Raw}}, {"usr/share/a file", Method{z.Zstd, 19}}, {"var", Method{z.LZ4, 9}}}
	if err != nil || len(hints) != len(want) {
		t.Fatalf("%+v, %v", hints, err)
	}
	for i := range want {
		if hints[i] != want[i] {
			t.Errorf("%+v, want %+v", hints[i], want[i])
		}
	}
	for in, want := range map[string]string{
		"* none\n*.gz\n": `line 2: "*.gz" is not a pattern and an algorithm`, "*.gz lzma": `line 1: "lzma" is not an algorithm`,
		"\n\n[a none": `line 3: pattern "[a": syntax error in pattern`, "a\\/ none": "line 1: pattern", "* zstd,99": "line 1: ", "# a\n" + strings.Repeat("x", 1<<20): "line 2: longer than 65535 bytes",
		"* none\n/ zstd": `line 2: pattern "/" has no name`, "./ zstd": "line 1: pattern", "// none": "line 1: pattern",
		strings.Repeat("* none\n", maxHints+1): "line 10001: more than 10000 hints",
	} {
		if _, err := ParseHints(strings.NewReader(in)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", in, err, want)
		}
	}
}

// An error of the file is not one of a line, and names the file already.
func TestParseHintsReadError(t *testing.T) {
	broken := errors.New("disk: read: broken")
	in := io.MultiReader(strings.NewReader("* none\n"), iotest.ErrReader(broken))
	if _, err := ParseHints(in); err != broken {
		t.Errorf("%v, want %v", err, broken)
	}
}

// The longest line that is allowed is read.
func TestParseHintsLongLine(t *testing.T) {
	line := strings.Repeat("x", maxHintLine-len(" none\n")) + " none\n"
	if hints, err := ParseHints(strings.NewReader(line)); err != nil || len(hints) != 1 {
		t.Errorf("%d hints, %v", len(hints), err)
	}
}

func TestHintMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"*.gz", "a.gz", true}, {"*.gz", "usr/share/a.gz", true}, {"*.gz", "usr/d.gz/file", true}, {"*.gz", "a.gz.txt", false},
		{"usr/lib", "usr/lib/a/b", true}, {"usr/lib", "usr/lib", true}, {"usr/lib", "usr/lib64", false}, {"usr/lib", "x/usr/lib", false},
		{"/etc", "etc/passwd", true}, {"/etc", "usr/etc", false}, {"etc/", "etc/passwd", true}, {"usr/*/a", "usr/b/a", true}, {"usr/*/a", "usr/b/c/a", false},
		{"usr/*", "usr/b/c/a", true}, {"*", "a", true}, {"a?c", "abc", true},
	} {
		if h := (Hint{Pattern: c.pattern}); h.matches(c.path) != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.path, !c.want)
		}
	}
}

// Names fit as path.Match says, for all short patterns that it takes.
func TestFits(t *testing.T) {
	var patterns, names []string
	grow := func(all *[]string, letters string, n int) {
		for *all = []string{""}; n > 0; n-- {
			for _, s := range *all {
				for _, c := range letters {
					*all = append(*all, s+string(c))
				}
			}
		}
	}
	grow(&patterns, `ab*?[]\^`, 3)
	patterns = append(patterns, `[ab]`, `[^ab]`, `*[ab]`, `[ab]*`, `a[^b]`, `\*\[`, `\a\]`, `?[a-b]b`)
	grow(&names, `ab*]`, 2)
	for _, pattern := range patterns {
		for _, name := range names {
			if want, err := path.Match(pattern, name); err == nil && fits(pattern, name) != want {
				t.Fatalf("%q fits %q: %v", name, pattern, !want)
			}
		}
	}
}
