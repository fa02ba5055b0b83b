package lib_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// TestToolsAreListed: whatever tool a test runs, setup.sh installs it. In Go a test
// starts processes only through reftest, which refuses a tool that is not in
// tools.txt; in shell "need" does, and what is asked for in another way is found here.
func TestToolsAreListed(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, "_test.go") {
			files++
			for _, call := range startsProcess(t, path, nil) {
				t.Errorf("%s: a test uses reftest.Command", call)
			}
		}
		return err
	})
	if err != nil || files < 50 {
		t.Fatalf("%d files, %v", files, err)
	}
	scripts, err := filepath.Glob("../tests/shell/*.*sh")
	bats, _ := filepath.Glob("../tests/shell/*.bats")
	asked := 0
	for _, path := range append(scripts, bats...) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, tool := range askedFor(string(data)) {
			asked++
			if reftest.Tools()[tool] == "" {
				t.Errorf("%s: %s is not in lib/reftest/tools.txt", path, tool)
			}
		}
	}
	if err != nil || asked < 50 {
		t.Fatalf("%d tools asked for, %v", asked, err)
	}
}

// startsProcess returns where the Go file starts a process, or looks for a program,
// by itself.
func startsProcess(t *testing.T, path string, src any) (calls []string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	own := []string{"exec.Command", "exec.CommandContext", "exec.LookPath", "os.StartProcess", "syscall.ForkExec", "syscall.StartProcess"}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := s.X.(*ast.Ident); ok && slices.Contains(own, pkg.Name+"."+s.Sel.Name) {
				calls = append(calls, fset.Position(n.Pos()).String())
			}
		}
		return true
	})
	return calls
}

var asks = regexp.MustCompile(`(?m)^\s*(?:need|for tool in|.*\bcommand -v) +([^;&|)>\n]*)`)

var command = regexp.MustCompile(`^[a-z][a-zA-Z0-9_.+-]*$`)

// askedFor is the tools that a shell file looks for by name, without our own.
func askedFor(script string) (tools []string) {
	for _, m := range asks.FindAllStringSubmatch(script, -1) {
		for _, word := range strings.Fields(m[1]) {
			if _, err := os.Stat("../cmd/" + word); err != nil && command.MatchString(word) {
				tools = append(tools, word)
			}
		}
	}
	return tools
}

// The finders, with what they have to find.
func TestToolsAreListedHasTeeth(t *testing.T) {
	src := "package p\nfunc f() { exec.Command(\"a\"); os.StartProcess(\"b\", nil, nil)\n _, _ = exec.LookPath(\"c\"); var _ exec.Cmd; reftest.Command(t, \"d\") }"
	if calls := startsProcess(t, "f.go", src); len(calls) != 3 {
		t.Errorf("found %q", calls)
	}
	script := "\tneed a b\n\tneed_root\nif ! command -v c >/dev/null; then\n\tcommand -v \"$tool\"; for tool in \"$@\"; do\nfor tool in d mkext4upper; do\n X=$(command -v e)\n"
	if tools := askedFor(script); !slices.Equal(tools, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("found %q", tools)
	}
}
