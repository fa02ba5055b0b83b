// Gotest runs "go test" with its arguments, shows what failed, what was skipped
// and why, and counts:
//
//	go run ./lib/reftest/gotest NAME [go test arguments]
//
// The last line is "NAME: N passed, N failed, N skipped". Subtests do not count. A package
// counts only if it fails without a failed test, because it does not compile or has crashed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strings"
)

// event is a line of the output of "go test -json".
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// tally counts the results so far.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string][]string // lines of tests and packages that still run
	failedIn                map[string]bool     // packages with a failed test
	skips                   map[string]bool
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: gotest NAME [ARGUMENTS]")
		os.Exit(2)
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[2:]...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "gotest: %v\n", err)
		os.Exit(1)
	}
	t := newTally(os.Stdout)
	t.read(events)
	err = cmd.Wait()
	t.summary(os.Args[1], err != nil)
	if err != nil {
		os.Exit(1)
	}
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, output: map[string][]string{}, failedIn: map[string]bool{}, skips: map[string]bool{}}
}

func (t *tally) read(events io.Reader) {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			t.add(e)
		} else if line != "" {
			fmt.Fprint(t.out, line)
		}
		if err != nil {
			return
		}
	}
}

func (t *tally) add(e event) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output":
		t.output[key] = append(t.output[key], e.Output)
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "pass", "fail", "skip":
		lines := t.output[key]
		delete(t.output, key)
		if e.Test == "" {
			t.packageEnd(e, lines)
		} else {
			t.testEnd(e, lines)
		}
	}
}

func (t *tally) testEnd(e event, lines []string) {
	top := !strings.Contains(e.Test, "/")
	switch e.Action {
	case "pass":
		if top {
			t.passed++
		}
	case "fail":
		t.failedIn[e.Package] = true
		if top {
			t.failed++
		}
		fmt.Fprint(t.out, strings.Join(lines, ""))
	case "skip":
		if top {
			t.skipped++
		}
		t.skips[fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(lines))] = true
	}
}

// packageEnd shows the line "ok" of a package, and all lines of one that failed.
func (t *tally) packageEnd(e event, lines []string) {
	if e.Action == "fail" {
		if !t.failedIn[e.Package] {
			t.failed++
			t.orphans(e.Package)
		}
		fmt.Fprint(t.out, strings.Join(lines, ""))
	} else if e.Action == "pass" && len(lines) > 0 && !strings.Contains(strings.Join(lines, ""), "[no tests to run]") {
		fmt.Fprint(t.out, lines[len(lines)-1])
	}
}

// orphans shows the output of tests that a crash or the time limit cut off.
func (t *tally) orphans(pkg string) {
	for key, lines := range t.output {
		if strings.HasPrefix(key, pkg+"\x00") {
			fmt.Fprint(t.out, strings.Join(lines, ""))
			delete(t.output, key)
		}
	}
}

// reason returns the reason in the last line of a skipped test, "file_test.go:12: REASON".
func reason(lines []string) string {
	why := ""
	for _, l := range lines {
		if !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(strings.TrimSpace(l), "--- ") {
			why = strings.TrimSpace(l)
		}
	}
	if _, text, ok := strings.Cut(why, ": "); ok {
		return text
	}
	return why
}

func (t *tally) summary(name string, failed bool) {
	var skips []string
	for s := range t.skips {
		skips = append(skips, s)
	}
	sort.Strings(skips)
	for _, s := range skips {
		fmt.Fprintln(t.out, "skipped:", s)
	}
	if failed && t.failed == 0 {
		t.failed = 1 // go test itself has failed
	}
	fmt.Fprintf(t.out, "%s: %d passed, %d failed, %d skipped\n", name, t.passed, t.failed, t.skipped)
}
