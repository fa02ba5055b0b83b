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

// Linear fails t for each case that takes over five times the steps for 4*n that it
// takes for n: its work grows faster than its input. A step is a statement of a package
// below lib, as the coverage of Go counts them, so how fast or busy the machine is does
// not matter. The cases are called in processes of their own.
func Linear(t *testing.T, n int, cases map[string]func(t *testing.T, n int)) {
	t.Helper()
	counted(t, n, cases, func(t *testing.T, few, many int64) {
		if many > 5*few {
			t.Errorf("%d steps for %d, but %d for %d", few, n, many, 4*n)
		}
	})
}

// Cost fails t for each case that takes more than most steps for each of n, beyond
// what it takes for none; see [Linear].
func Cost(t *testing.T, n int, most int64, cases map[string]func(t *testing.T, n int)) {
	t.Helper()
	counted(t, n, cases, func(t *testing.T, few, many int64) {
		if each := (many - few) / int64(3*n); each > most {
			t.Errorf("%d steps for each, over %d", each, most)
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
		for name, do := range cases {
			t.Run(name, func(t *testing.T) { do(t, n) })
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

// counting is the package under test, built so that it counts.
func counting(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "counting.test")
	build := Command(t, "go", "test", "-c", "-covermode=atomic", "-coverpkg=ocipipe/lib/...", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return binary
}

// steps is how many statements t executes with n.
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

// executed adds up a profile, of which a line is "file:from,to statements times".
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

// exactly is the pattern for -test.run of just one test.
func exactly(name string) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	return strings.Join(parts, "/")
}
