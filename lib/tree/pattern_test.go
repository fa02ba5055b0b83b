package tree

import (
	"path"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern Pattern
		path    string
		want    bool
	}{
		{"*.log", "a.log", true},
		{"*.log", "var/x/a.log", true},
		{"*.log", "var/x.log/a", true},
		{"*.log", "a.log.1", false},
		{"/a.log", "a.log", true},
		{"/a.log", "var/a.log", false},
		{"var/log", "var/log", true},
		{"var/log", "var/log/a/b", true},
		{"var/log", "var/logs", false},
		{"var/log", "x/var/log", false},
		{"var/*/x", "var/log/x", true},
		{"var/*/x", "var/log/y/x", false},
		{"var/log/", "var/log", true},
		{"[ab]", "b", true},
		{`\*`, "*", true},
		{`\*`, "x", false},
		{"a?", "ab", true},
		{"usr/lib", "usr/lib64", false},
		{"*", "a", true},
		{"usr/*", "usr/b/c/a", true},
		{"a?", "a/", false},
	} {
		if err := c.pattern.Check(); err != nil {
			t.Errorf("%q: %v", c.pattern, err)
		}
		if have := c.pattern.Matches(c.path); have != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.path, have)
		}
	}
	for _, p := range []Pattern{"", "/", "///", "[", "a/[b", `\`, `a\/`} {
		if p.Check() == nil {
			t.Errorf("%q is accepted", p)
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
