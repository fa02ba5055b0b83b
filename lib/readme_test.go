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
