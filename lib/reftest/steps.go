package reftest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const stepsEnv = "REFTEST_STEPS"

// Linear fails t for each case that takes more than five times as many steps for 4*n as for
// n, so that its work grows faster than its input. A step is a statement of a package below
// lib, counted by Go's coverage, so the speed and load of the machine do not matter. Each
// case runs in a process of its own.
func Linear(t *testing.T, n int, cases map[string]func(t *testing.T, n int)) {
	t.Helper()
	counted(t, n, cases, func(t *testing.T, few, many int64) {
		if many > 5*few {
			t.Errorf("%d steps for %d, but %d for %d", few, n, many, 4*n)
		}
	})
}

// Cost fails t for each case that takes more than limit further steps for each further unit
// of n; see [Linear].
func Cost(t *testing.T, n int, limit int64, cases map[string]func(t *testing.T, n int)) {
	t.Helper()
	counted(t, n, cases, func(t *testing.T, few, many int64) {
		if each := (many - few) / int64(3*n); each > limit {
			t.Errorf("%d steps for each, over %d", each, limit)
		}
	})
}

// counted calls check with the steps that each case takes for n and for 4*n.
func counted(t *testing.T, n int, cases map[string]func(t *testing.T, n int), check func(t *testing.T, few, many int64)) {
	t.Helper()
	if m := os.Getenv(stepsEnv); m != "" {
		n, err := strconv.Atoi(m)
		if err != nil {
			t.Fatal(err)
		}
		for name, run := range cases {
			t.Run(name, func(t *testing.T) { run(t, n) })
		}
		return
	}
	if testing.Short() {
		t.Skip("counts steps, which takes a build of its own")
	}
	binary := counting(t)
	for name := range cases {
		t.Run(name, func(t *testing.T) {
			few, many := steps(t, binary, n), steps(t, binary, 4*n)
			t.Logf("%d steps for %d, %d for %d", few, n, many, 4*n)
			if few == 0 {
				t.Error("no step was counted")
			}
			check(t, few, many)
		})
	}
}

// counting builds the package under test so that it counts steps, and returns the binary.
func counting(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "counting.test")
	build := Command(t, "go", "test", "-c", "-covermode=atomic", "-coverpkg=ocipipe/lib/...", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return binary
}

// steps returns how many statements t executes with n.
func steps(t *testing.T, binary string, n int) (sum int64) {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile")
	cmd := Command(t, binary, "-test.run", exactly(t.Name()), "-test.coverprofile", profile)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", stepsEnv, n))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("with %d: %v\n%s", n, err, out)
	}
	data, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	sum, err = executed(string(data))
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// executed adds up the lines "file:from,to statements times" of a profile.
func executed(profile string) (sum int64, err error) {
	for line := range strings.Lines(profile) {
		if strings.HasPrefix(line, "mode: ") {
			continue
		}
		var place string
		var statements, times int64
		if _, err := fmt.Sscan(line, &place, &statements, &times); err != nil {
			return 0, fmt.Errorf("coverage: %q: %w", line, err)
		}
		sum += statements * times
	}
	return sum, nil
}

// exactly returns the pattern for -test.run that matches only one test.
func exactly(name string) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	return strings.Join(parts, "/")
}
