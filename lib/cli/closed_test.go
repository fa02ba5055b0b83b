package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// runDirect runs the probe with these redirections of a shell.
func runDirect(t *testing.T, redirect string, args ...string) (code int, said string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := reftest.Command(t, "bash", append([]string{"-c", `exec 3>&2; "$@" 2>&3 ` + redirect, "bash", exe}, args...)...)
	cmd.Env = append(os.Environ(), "CLI_TEST_PROBE=1")
	var text strings.Builder
	cmd.Stderr = &text
	err = cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// TestStreamsForNothing: a stream that is open for the wrong direction is an error of one
// line. A closed one only causes a warning here, since test binaries are built without the
// linker flag of streams_linux.go; tests/shell tests those.
func TestStreamsForNothing(t *testing.T) {
	const (
		noOutput = "probe: standard output: is closed or not open for writing\n"
		noInput  = "probe: standard input: is closed or not open for reading\n"
		perhaps  = "probe: warning: standard output: is /dev/null, or was closed: the output is lost\n"
	)
	for _, c := range []struct {
		redirect string
		args     []string
		code     int
		said     string
	}{
		{"</dev/null 1</dev/null", nil, 1, noOutput},
		{"</dev/null 1</dev/null", []string{"--image"}, 1, noOutput},
		{"</dev/null 1</dev/null", []string{"--text"}, 1, noOutput},
		{"</dev/null 1</dev/null", []string{"--version"}, 1, noOutput},
		{"</dev/null 1</dev/null", []string{"--help"}, 1, noOutput},
		{"0>/dev/null >/dev/null", nil, 1, noInput},
		{"0>/dev/null >/dev/null", []string{"/dev/null"}, 0, ""},
		{"</dev/null >/dev/null", nil, 0, ""},
		{"</dev/null >>/dev/null", nil, 0, ""},
		{"</dev/null 1<>/dev/null", nil, 0, perhaps},
		{"</dev/null 1<>/dev/null", []string{"--quiet"}, 0, ""},
		{"</dev/null 1<>/dev/zero", nil, 0, ""},
		{"</dev/null >&-", nil, 0, perhaps},
	} {
		code, said := runDirect(t, c.redirect, c.args...)
		if code != c.code || said != c.said {
			t.Errorf("%s %v: code %d, said %q; expected %d, %q", c.redirect, c.args, code, said, c.code, c.said)
		}
	}
}
