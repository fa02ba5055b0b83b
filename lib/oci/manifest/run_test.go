package manifest

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

func TestParseRun(t *testing.T) {
	none := Run{Argv: []string{}, Entrypoint: []string{}, Cmd: []string{}, WorkingDirectory: "/", StopSignal: "SIGTERM", Env: []string{}, ExposedPorts: []string{}, Volumes: []string{}, Labels: map[string]string{}}
	for _, raw := range []string{`{}`, `{"config": null}`, `{"config": {}}`, `{"config": {"Cmd": null, "Env": [], "Volumes": {}}}`} {
		if run, err := ParseRun([]byte(raw)); err != nil || !reflect.DeepEqual(run, none) {
			t.Errorf("%s: %+v, %v", raw, run, err)
		}
	}
	run, err := ParseRun([]byte(`{"config": {"Entrypoint": ["/entry", "-x"], "Cmd": ["postgres", "a b"], "User": "70:70", "WorkingDir": "/var/lib",
		"StopSignal": "SIGINT", "Env": ["A=1", "PATH=/bin", "A=2<"], "ExposedPorts": {"5432/tcp": {}, "53/udp": {}}, "Volumes": {"/v": {}, "/a": {}},
		"Labels": {"b": "2", "a": "1"}, "Healthcheck": {"Test": ["NONE"]}}}`))
	want := Run{
		Argv: []string{"/entry", "-x", "postgres", "a b"}, Entrypoint: []string{"/entry", "-x"}, Cmd: []string{"postgres", "a b"}, User: "70:70", WorkingDirectory: "/var/lib", StopSignal: "SIGINT",
		Env: []string{"PATH=/bin", "A=2<"}, ExposedPorts: []string{"53/udp", "5432/tcp"}, Volumes: []string{"/a", "/v"},
		Labels: map[string]string{"a": "1", "b": "2"},
	}
	if err != nil || !reflect.DeepEqual(run, want) {
		t.Errorf("%+v, %v", run, err)
	}
	var again Run
	if err := json.Unmarshal(run.JSON(), &again); err != nil || !reflect.DeepEqual(again, want) || !strings.Contains(string(run.JSON()), "\n  \"env\": [\n    \"PATH=/bin\",\n    \"A=2<\"\n  ],\n") {
		t.Errorf("%s: %v", run.JSON(), err)
	}
	hostile := Run{User: "\u009b2J\u202e<"}
	if text := string(hostile.JSON()); !strings.Contains(text, `"\u009b2J\u202e<"`) {
		t.Errorf("a terminal obeys %q", text)
	}
	if run, err := ParseRun([]byte(`{"config": {"Entrypoint": "/bin/sh", "Cmd": ["-c"]}}`)); err != nil || !reflect.DeepEqual(run.Argv, []string{"/bin/sh", "-c"}) {
		t.Errorf("%+v, %v", run, err)
	}
	for _, raw := range []string{``, `{`, `[]`, `{"config": []}`, `{"config": {"Cmd": 5}}`, `{"config": {"Env": ["A=\u0000"]}}`, `{"config": {"User": "\u0000"}}`, `{"config": {"Entrypoint": ["\u0000"]}}`} {
		if _, err := ParseRun([]byte(raw)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// A shell that reads the lines has the values, and does nothing else.
func TestShellEnv(t *testing.T) {
	run := Run{Env: []string{"A=it's $(touch x) `b` \\ \"c\" \n  d", "_b2=", "A.B=1", "2=x", "$(touch y)=1", "NO", "=v", "é=1"}}
	lines, leftOut := run.ShellEnv()
	if !reflect.DeepEqual(leftOut, run.Env[2:]) {
		t.Errorf("left out: %q", leftOut)
	}
	cmd := reftest.Command(t, "bash", "-euc", string(lines)+`printf '%s|%s|' "$A" "$_b2"; ls`)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if want := strings.TrimPrefix(run.Env[0], "A=") + "||"; err != nil || string(out) != want {
		t.Errorf("%q, %v", out, err)
	}
}

func TestShellProcess(t *testing.T) {
	run := Run{
		Argv: []string{"-x", "it's $(touch x)", "", "a\n  b", "*", `\`}, User: "a'; touch y; '",
		WorkingDirectory: "/a  b", StopSignal: "$SIG",
	}
	for _, argv := range [][]string{run.Argv, {}} {
		run.Argv = argv
		cmd := reftest.Command(t, "bash", "-euc", "set -- old\n"+string(run.ShellProcess())+`printf '%s|' $# "$user" "$working_directory" "$stop_signal" "$@"; ls`)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		want := strings.Join(append([]string{strconv.Itoa(len(argv)), run.User, run.WorkingDirectory, run.StopSignal}, argv...), "|") + "|"
		if err != nil || string(out) != want {
			t.Errorf("%q, %v", out, err)
		}
	}
}
