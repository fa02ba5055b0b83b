package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestApplets finds every tool among the applets, and in what shells complete.
func TestApplets(t *testing.T) {
	programs, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range programs {
		if p.Name() != "internal" && p.Name() != self {
			want = append(want, p.Name())
		}
	}
	if !slices.Equal(names(), want) {
		t.Errorf("applets %q, want %q", names(), want)
	}
	field, _ := reflect.TypeFor[tool]().FieldByName("Tool")
	if completed := field.Tag.Get("completion"); completed != strings.Join(want, " ") {
		t.Errorf("completed are %q", completed)
	}
	for _, a := range applets {
		if a.about == "" || a.main == nil {
			t.Errorf("%s has no text or no main", a.name)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		args, want []string
		tool       string // "" for the program itself
	}{
		{[]string{"tree2tar", "-o", "x"}, []string{"tree2tar", "-o", "x"}, "tree2tar"},
		{[]string{"/bin/tree2tar"}, []string{"/bin/tree2tar"}, "tree2tar"},
		{[]string{`C:\bin\tree2tar.exe`}, []string{`C:\bin\tree2tar.exe`}, "tree2tar"},
		{[]string{"Tree2tar.EXE", "x"}, []string{self, "--", "Tree2tar"}, ""},
		{[]string{"tree2tar.EXE", "tar2tree"}, []string{"tree2tar.EXE", "tar2tree"}, "tree2tar"},
		{[]string{"ocipipe", "tar2tree", "-"}, []string{"tar2tree", "-"}, "tar2tree"},
		{[]string{"./ocipipe-1.0-linux-arm64", "tar2tree"}, []string{"tar2tree"}, "tar2tree"},
		{[]string{"renamed", "tar2tree", "--help"}, []string{"tar2tree", "--help"}, "tar2tree"},
		{[]string{"tree2tar-old", "--help"}, []string{self, "--", "tree2tar-old"}, ""},
		{[]string{"tree2", "x"}, []string{self, "--", "tree2"}, ""},
		{[]string{"ocipipe", "tree2", "--help"}, []string{self, "--", "tree2"}, ""},
		{[]string{"ocipipe", "--list"}, []string{"ocipipe", "--list"}, ""},
		{[]string{"ocipipe.exe"}, []string{"ocipipe.exe"}, ""},
		{[]string{"ocipipe", ""}, []string{"ocipipe", ""}, ""},
		{[]string{".exe"}, []string{self, "--", ".exe"}, ""},
		{nil, []string{self}, ""},
	} {
		a, args := choose(c.args)
		got := ""
		if a != nil {
			got = a.name
		}
		if got != c.tool || !slices.Equal(args, c.want) {
			t.Errorf("%q is %q with %q, want %q with %q", c.args, got, args, c.tool, c.want)
		}
	}
}

func TestTarget(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "again")); err != nil {
		t.Skip(err)
	}
	program := filepath.Join(dir, "ocipipe-1")
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "tar2tree"), "ocipipe-1"},
		{filepath.Join(dir, "again", "tar2tree"), "ocipipe-1"},
		{filepath.Join(dir, "other", "tar2tree"), program},
		{filepath.Join(filepath.Dir(dir), "tar2tree"), program},
	} {
		if got := target(program, c.path); got != c.want {
			t.Errorf("a link %s to %s has %q, want %q", c.path, program, got, c.want)
		}
	}
}
