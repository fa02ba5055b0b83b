package makerule

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocipipe/lib/reftest"
)

func TestRules(t *testing.T) {
	for _, c := range []struct {
		target string
		names  []string
		want   string
	}{
		{"out", nil, "out:\n"},
		{"out", []string{"b", "a", "b"}, "out: \\\n  a \\\n  b\na:\nb:\n"},
		{"my disk", []string{"a#$b"}, "my\\ disk: \\\n  a\\#$$b\na\\#$$b:\n"},
		{"out", []string{"./.IGNORE", "a", "d/.IGNORE"}, "out: \\\n  ./.IGNORE \\\n  a \\\n  d/.IGNORE\na:\nd/.IGNORE:\n"},
		{"out", []string{"a=1", "b", "k=v/c"}, "out: \\\n  b \\\n  a=1 \\\n  k=v/c\nb:\n"},
		{"out", []string{"+=1", "=1", "a", "b", "k=v"}, "out: \\\n  a \\\n  b \\\n  k=v \\\n  +=1 \\\n  =1\na:\nb:\n"},
		{"out", []string{"override", "k=v"}, "out: \\\n  ./override \\\n  k=v\n./override:\n"},
		{"out", []string{"./", ".//./"}, "out: \\\n  .\n.:\n"},
		{"out", []string{"/", "../"}, "out: \\\n  ../ \\\n  /\n../:\n/:\n"},
		{"out", []string{"define", "export"}, "out: \\\n  ./define \\\n  ./export\n./define:\n./export:\n"},
	} {
		got, err := Rules(c.target, c.names)
		if err != nil || string(got) != c.want {
			t.Errorf("Rules(%q, %q) = %q, %v; want %q", c.target, c.names, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, name := range []string{"", "a\nb", "a\tb", "a;b", "a|b", "~me", "./~me", "a&", "a ", "lib(member)", `a\`, `a\ b`, `a\#b`, `a\=b`, `a\\ b`, "\x7f"} {
		if got, err := Rules("out", []string{"x", name}); !errors.As(err, new(*NameError)) {
			t.Errorf("%q is written as %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"a=b", "a%b", "a*b", "a?b", "a[b]", ".PHONY", "./.IGNORE", "define", "a;b", ""} {
		if got, err := Rules(name, []string{"x"}); !errors.As(err, new(*NameError)) {
			t.Errorf("target %q is written as %q, %v", name, got, err)
		}
	}
	for _, names := range [][]string{{"a=b"}, {"=b"}, {"=b", "a"}, {"+=b", "a"}, {"!=b", "a"}} {
		if got, err := Rules("out", names); !errors.As(err, new(*NameError)) {
			t.Errorf("%q is written as %q, %v", names, got, err)
		}
	}
}

// odd are names that make or ninja would take for something else if they were not escaped,
// or that look as if they would. ninja has no form for those of the second list.
var (
	odd = []string{
		"a b", "a  b", " a", "a#b", "#", "a$b", "${x}", "$@", "a:b", "a: b", "a::b", "a%b", "%",
		`a\b`, "a(b", "(b)", "a(1).tar", "a{b}", "a!b", "a+b", "-a", "a,b", "a~", "\xe9", "é",
		"a]", ".PHONY", "include", "ifdef", "else", "include x", "export x", "x=y", "a:=b", "a+=b",
		"define", "undefine", "override", "private", "export", ":=x",
	}
	oddForMake = []string{":", "a&b", "a'b", `a"b`, "a*b", "*", "a?b", "a?=b", "a[b]", "[", "a<b>c^d`e"}
)

// in runs a tool in a directory, as if no make had started it.
func in(dir string, cmd *exec.Cmd) (string, error) {
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, path string, at time.Time) {
	t.Helper()
	write(t, path, "")
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// checkNames makes rules about others and a file with each of names, and asks with isOld whether out
// has to be made: not at first, after a change of the file, and, without an error, once it is gone.
func checkNames(t *testing.T, others, names []string, prepare func(dir string), isOld func(dir string) bool) {
	long := time.Now().Add(-time.Hour)
	for _, name := range names {
		dir := t.TempDir()
		touch(t, filepath.Join(dir, "plain"), long)
		touch(t, filepath.Join(dir, "ab"), long) // which a?b, a[b] and a*b would find as patterns
		touch(t, filepath.Join(dir, name), long)
		rules, err := Rules("out", append(others, name))
		if err != nil {
			t.Error(err)
			continue
		}
		write(t, filepath.Join(dir, "out.d"), string(rules))
		prepare(dir)
		if isOld(dir) {
			t.Errorf("%q: old at first\n%s", name, rules)
		}
		touch(t, filepath.Join(dir, name), time.Now().Add(time.Minute))
		if !isOld(dir) {
			t.Errorf("%q: not old after a change\n%s", name, rules)
		}
		os.Remove(filepath.Join(dir, name))
		if hasTarget(name) && !isOld(dir) {
			t.Errorf("%q: not old once it is gone\n%s", name, rules)
		}
	}
}

func TestInteropMake(t *testing.T) {
	prepare := func(dir string) {
		touch(t, filepath.Join(dir, "out"), time.Now().Add(-time.Minute))
		write(t, filepath.Join(dir, "Makefile"), "out:\n\t@touch out\ninclude out.d\n")
	}
	isOld := func(dir string) bool {
		out, err := in(dir, reftest.Command(t, "make", "-q", "out"))
		if strings.Contains(out, "***") {
			t.Errorf("make: %s", out)
		}
		return err != nil
	}
	checkNames(t, []string{"plain"}, append(odd, oddForMake...), prepare, isOld)
	checkNames(t, []string{"plain", "ab"}, []string{"=x", "+=x", "!=x"}, prepare, isOld)
}

func TestInteropMakeTargets(t *testing.T) {
	for _, name := range append(odd, oddForMake...) {
		rules, err := Rules(name, []string{"missing"})
		if err != nil {
			continue
		}
		dir := t.TempDir()
		rule, _, _ := strings.Cut(string(rules), "\nmissing:")
		write(t, filepath.Join(dir, "Makefile"), rule+"\n")
		out, _ := in(dir, reftest.Command(t, "make", "--", name))
		if want := fmt.Sprintf("No rule to make target 'missing', needed by '%s'.", name); !strings.Contains(out, want) {
			t.Errorf("target %q: make says %s\n%s", name, out, rules)
		}
	}
}

func TestInteropNinja(t *testing.T) {
	prepare := func(dir string) {
		write(t, filepath.Join(dir, "build.ninja"), "rule make\n  command = touch out\n  depfile = out.d\nbuild out: make\n")
		if out, err := in(dir, reftest.Command(t, "ninja")); err != nil {
			t.Errorf("ninja: %s", out)
		}
	}
	checkNames(t, []string{"plain"}, odd, prepare, func(dir string) bool {
		out, err := in(dir, reftest.Command(t, "ninja", "-n"))
		if err != nil {
			t.Errorf("ninja: %s", out)
		}
		return !strings.Contains(out, "no work to do")
	})
}
