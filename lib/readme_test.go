package lib_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPicture compares the floors in README.md with the imports: a room stands one floor
// above the highest of those that it imports.
func TestPicture(t *testing.T) {
	pkgs, err := list(t, "./...", "../cmd/...")
	if err != nil {
		t.Fatal(err)
	}
	imports := make(map[string][]string) // by room
	for _, p := range pkgs {
		room := roomOf(p.ImportPath)
		if room == "" {
			continue
		}
		if imports[room] == nil {
			imports[room] = []string{}
		}
		for _, i := range p.Imports {
			if to := roomOf(i); to != "" && to != room {
				imports[room] = append(imports[room], to)
			}
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := picture(string(readme))
	for room := range imports {
		if floor := floorOf(imports, room); drawn[room] != floor {
			t.Errorf("%s is on floor %d, README.md has it on floor %d", room, floor, drawn[room])
		}
	}
	for room := range drawn {
		if imports[room] == nil {
			t.Errorf("README.md has the room %s, which does not exist", room)
		}
	}
}

// roomOf is the directory of lib that a package lies in or below, "cmd" for a tool, and ""
// for what is not in the picture.
func roomOf(importPath string) string {
	name, ours := strings.CutPrefix(importPath, module)
	first, rest, _ := strings.Cut(name, "/")
	room, below, _ := strings.Cut(rest, "/")
	switch {
	case !ours || first == "lib" && (room == "" || room == "reftest") || strings.HasSuffix(below, "test"):
		return ""
	case first == "cmd":
		return "cmd"
	}
	return room
}

func floorOf(imports map[string][]string, room string) int {
	floor := 0
	for _, below := range imports[room] {
		floor = max(floor, floorOf(imports, below))
	}
	return floor + 1
}

// picture reads the floors from the first block of text.
func picture(text string) map[string]int {
	line := regexp.MustCompile(`^    ([1-9]|   )? *([a-z0-9]+)  `)
	drawn, floor := make(map[string]int), 0
	for _, l := range strings.Split(text, "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil && floor > 0 {
			break
		}
		if m == nil {
			continue
		}
		if strings.TrimSpace(m[1]) != "" {
			fmt.Sscan(m[1], &floor)
		}
		drawn[m[2]] = floor
	}
	return drawn
}

// TestPictureHasTeeth reads a picture, and finds the floors of rooms.
func TestPictureHasTeeth(t *testing.T) {
	drawn := picture("# Title\n\n    2  b   text\n       c   text\n    1  a1  text\n\n    3  d   text\n")
	if want := map[string]int{"b": 2, "c": 2, "a1": 1}; fmt.Sprint(drawn) != fmt.Sprint(want) {
		t.Errorf("picture %v, want %v", drawn, want)
	}
	imports := map[string][]string{"a": {}, "b": {"a"}, "c": {"a", "b"}}
	if floorOf(imports, "c") != 3 || floorOf(imports, "a") != 1 {
		t.Error("other floors")
	}
}

// TestHouseRules finds the files, directories and tests that README.md names.
func TestHouseRules(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, m := range regexp.MustCompile("`([a-z0-9.]+(?:/[a-z0-9_.-]+)+|[a-z_]+_test\\.go)`").FindAllStringSubmatch(text, -1) {
		if !exists(m[1]) && !exists(filepath.Join("..", m[1])) {
			t.Errorf("README.md names %s, which does not exist", m[1])
		}
	}
	commands := regexp.MustCompile("`go test [^`]*\\./lib(/[a-z0-9/]*)?[^`]* -(?:run|fuzz) (\\w+)").FindAllStringSubmatch(text, -1)
	if len(commands) < 8 {
		t.Errorf("found only %d commands", len(commands))
	}
	for _, m := range commands {
		dir := "." + m[1]
		files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		found := slices.ContainsFunc(files, func(name string) bool {
			source, _ := os.ReadFile(name)
			return regexp.MustCompile(`(?m)^func \w*` + m[2]).Match(source)
		})
		if !found {
			t.Errorf("%s has no test that -run %s would run", dir, m[2])
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestNothingForgotten finds each tool in the tables and tests that list all of them, and
// each sink and source in the tests of what they promise.
func TestNothingForgotten(t *testing.T) {
	tools, err := filepath.Glob("../cmd/*/main.go")
	if err != nil || len(tools) < 8 {
		t.Fatalf("%d tools, %v", len(tools), err)
	}
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	readme, pipelines := read("../README.md"), read("../tests/shell/pipeline.bats")
	for _, path := range tools {
		tool := filepath.Base(filepath.Dir(path))
		if !strings.Contains(readme, "| `"+tool+"` |") {
			t.Errorf("%s has no row in the table of README.md", tool)
		}
		if !exists("../tests/shell/" + tool + ".bats") {
			t.Errorf("%s has no tests/shell/%s.bats", tool, tool)
		}
		if !strings.Contains(pipelines, tool) {
			t.Errorf("%s is not in tests/shell/pipeline.bats", tool)
		}
	}
	methods := regexp.MustCompile(`(?m)^func \(\w* ?\*?([A-Z]\w*)\) (Add\(\w+ \*(?:tree\.)?Entry\) error|Source\(|Next\(\) \(\*(?:tree\.)?Entry, error\))`)
	tests := map[string]string{"Add": read("sinks_test.go"), "Source": read("contents_test.go"), "Next": read("contents_test.go")}
	found := 0
	err = filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "reftest") || strings.HasPrefix(path, "cli/") {
			return err
		}
		for _, m := range methods.FindAllStringSubmatch(read(path), -1) {
			kind, _, _ := strings.Cut(m[2], "(")
			found++
			if pkg := filepath.Base(filepath.Dir(path)); !strings.Contains(tests[kind], pkg+".") {
				t.Errorf("%s of %s.%s (%s) is not tried by the tests of all sinks and sources", kind, pkg, m[1], path)
			}
		}
		return nil
	})
	if err != nil || found < 9 {
		t.Errorf("%d sinks and sources, %v", found, err)
	}
}
