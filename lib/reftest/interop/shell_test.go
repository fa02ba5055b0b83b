// Package interop runs the tools as built, in whole pipelines, over images of
// real files, and compares what comes out with what umoci and the kernel say.
package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"ocipipe/lib/reftest"
)

// bin is the directory that built puts the tools into.
var bin string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "interop"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	return m.Run()
}

var once sync.Once

// built builds the tools for the first test that runs one.
func built(t *testing.T) {
	t.Helper()
	once.Do(func() {
		build := reftest.Command(t, "go", "build", "-trimpath", "-buildvcs=false", "-o", bin, "ocipipe/cmd/...")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build the tools: %v\n%s", err, out)
		}
	})
}

// realImage is the directory that tests/shell/images.sh makes.
func realImage(t *testing.T, name string) string {
	t.Helper()
	cmd := reftest.Command(t, "../../../tests/shell/images.sh", name)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 {
		reftest.Skip(t, "%s", strings.TrimSpace(errs.String()))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.Bytes())
	}
	return strings.TrimSpace(out.String())
}

// command is the line for a shell, with the tools in PATH, that runs in dir.
func command(t *testing.T, dir, line string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	built(t)
	stderr = new(bytes.Buffer)
	cmd = reftest.Command(t, "bash", "-c", "set -euo pipefail; "+line)
	cmd.Dir, cmd.Stderr = dir, stderr
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin", "LC_ALL=C")
	return cmd, stderr
}

// shell fails t unless every stage of the line succeeds without a word.
func shell(t *testing.T, dir, line string) {
	t.Helper()
	cmd, stderr := command(t, dir, line)
	if out, err := cmd.Output(); err != nil || len(out) > 0 || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s%s", line, err, out, stderr)
	}
}
