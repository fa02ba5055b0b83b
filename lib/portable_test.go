package lib_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// systems are what all tools build for, as GOOS/GOARCH and tags.
var systems = []string{
	"linux/arm64", "linux/386", "linux/amd64 portable",
	"darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64",
}

// TestPortable checks the types of all tools for each system, which finds what would keep them
// from building there, in a small part of the time that building takes: of packages that are
// not ours, only the declarations are looked at. "make soak" builds them.
func TestPortable(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	c := newChecker()
	for _, system := range systems {
		for _, fault := range c.check(t, system, "../cmd/...") {
			t.Errorf("%s: %v", system, fault)
		}
	}
}

// TestPortableHasTeeth finds what package unix has on one system alone.
func TestPortableHasTeeth(t *testing.T) {
	dir, err := os.MkdirTemp(".", "testdata-teeth-") // in the module
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const text = "package teeth\n\nimport \"golang.org/x/sys/unix\"\n\nfunc f() (int, uint) { return unix.O_TMPFILE, 1 << 40 }\n"
	if err := os.WriteFile(filepath.Join(dir, "teeth.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newChecker()
	for system, want := range map[string]string{"linux/amd64": "", "darwin/arm64": "undefined: unix.O_TMPFILE", "linux/386": "overflows"} {
		faults := c.check(t, system, "./"+dir)
		if (len(faults) == 0) != (want == "") || want != "" && !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%s: %v, want %q", system, faults, want)
		}
	}
}

// checker checks the types of packages. It parses each file once.
type checker struct {
	fset  *token.FileSet
	files map[string]*ast.File // by path
}

func newChecker() *checker {
	return &checker{token.NewFileSet(), make(map[string]*ast.File)}
}

// source is what go list says of a package.
type source struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
	Module          *struct{ Main bool }
}

// check returns the faults of our packages among those that match pattern, and of what they
// import.
func (c *checker) check(t *testing.T, system, pattern string) (faults []error) {
	t.Helper()
	platform, tags, _ := strings.Cut(system, " ")
	goos, goarch, _ := strings.Cut(platform, "/")
	list := reftest.Command(t, "go", "list", "-deps", "-tags="+tags, "-json=ImportPath,Dir,GoFiles,ImportMap,Module", pattern)
	list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		return []error{fmt.Errorf("go list: %w", err)}
	}
	done := map[string]*types.Package{"unsafe": types.Unsafe}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p source
		if err := dec.Decode(&p); err == io.EOF {
			return faults
		} else if err != nil {
			return append(faults, err)
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		ours := p.Module != nil && p.Module.Main
		conf := types.Config{
			IgnoreFuncBodies: !ours,
			Importer:         importer{done, p.ImportMap},
			Sizes:            types.SizesFor("gc", goarch),
			Error: func(err error) {
				if ours {
					faults = append(faults, err)
				}
			},
		}
		files, err := c.parse(p)
		if err != nil {
			return append(faults, err)
		}
		done[p.ImportPath], _ = conf.Check(p.ImportPath, c.fset, files, nil)
	}
}

func (c *checker) parse(p source) (files []*ast.File, err error) {
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		if c.files[path] == nil {
			if c.files[path], err = parser.ParseFile(c.fset, path, nil, parser.SkipObjectResolution); err != nil {
				return nil, err
			}
		}
		files = append(files, c.files[path])
	}
	return files, nil
}

// importer has the packages that were checked before, under the names that one of them has
// for them.
type importer struct {
	done  map[string]*types.Package
	names map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if name, ok := i.names[path]; ok {
		path = name
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s was not listed", path)
}
