package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/oci/printable"
)

// Run is what the configuration of an image says of the process to run in it, for what
// runs it without a container engine.
type Run struct {
	Argv             []string          `json:"argv"`              // entrypoint and command, one after the other
	Entrypoint       []string          `json:"entrypoint"`        // what a user does not replace
	Cmd              []string          `json:"cmd"`               // what stands in for the user's arguments
	User             string            `json:"user"`              // USER[:GROUP], names or numbers; "" is root
	WorkingDirectory string            `json:"working_directory"` // "/" unless the image says another
	StopSignal       string            `json:"stop_signal"`       // SIGTERM unless the image says another
	Env              []string          `json:"env"`               // NAME=VALUE, each name once
	ExposedPorts     []string          `json:"exposed_ports"`     // PORT/PROTOCOL, sorted
	Volumes          []string          `json:"volumes"`           // paths, sorted
	Labels           map[string]string `json:"labels"`
}

// argv is a list of words. Docker once wrote a single one as a string.
type argv []string

func (a *argv) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, (*[]string)(a))
	}
	var word string
	err := json.Unmarshal(data, &word)
	*a = argv{word}
	return err
}

// ParseRun decodes a configuration.
func ParseRun(raw []byte) (Run, error) {
	var conf struct {
		Config struct {
			Entrypoint, Cmd              argv
			User, WorkingDir, StopSignal string
			Env                          []string
			ExposedPorts, Volumes        map[string]struct{}
			Labels                       map[string]string
		} `json:"config"`
	}
	if err := json.Unmarshal(raw, &conf); err != nil {
		return Run{}, fmt.Errorf("%w: configuration: %v", ErrCorrupt, jsonfault.Explain(err))
	}
	c := conf.Config
	run := Run{
		Argv: append(append([]string{}, c.Entrypoint...), c.Cmd...), Entrypoint: append([]string{}, c.Entrypoint...), Cmd: append([]string{}, c.Cmd...),
		User: c.User, WorkingDirectory: c.WorkingDir, StopSignal: c.StopSignal,
		Env: lastOfName(c.Env), ExposedPorts: sortedKeys(c.ExposedPorts), Volumes: sortedKeys(c.Volumes), Labels: c.Labels,
	}
	if run.WorkingDirectory == "" {
		run.WorkingDirectory = "/"
	}
	if run.StopSignal == "" {
		run.StopSignal = "SIGTERM"
	}
	if run.Labels == nil {
		run.Labels = map[string]string{}
	}
	for _, s := range slices.Concat(run.Argv, run.Env, []string{run.User, run.WorkingDirectory, run.StopSignal}) {
		if strings.IndexByte(s, 0) >= 0 { // no process can have it
			return Run{}, fmt.Errorf("%w: configuration: NUL in %.150q", ErrCorrupt, s)
		}
	}
	return run, nil
}

// lastOfName is env without what a later entry of the same name replaces.
func lastOfName(env []string) []string {
	last := map[string]int{}
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		last[name] = i
	}
	kept := []string{}
	for i, e := range env {
		if name, _, _ := strings.Cut(e, "="); last[name] == i {
			kept = append(kept, e)
		}
	}
	return kept
}

func sortedKeys(m map[string]struct{}) []string {
	return append([]string{}, slices.Sorted(maps.Keys(m))...)
}

// JSON is r for a program to read, indented. A terminal that shows it obeys nothing that an
// image says.
func (r *Run) JSON() []byte { return printable.Encode(r) }

// ShellEnv is the environment for a shell to read: NAME='VALUE' lines. Entries whose
// name is not one of a shell variable are left out, and returned.
func (r *Run) ShellEnv() (lines []byte, leftOut []string) {
	for _, e := range r.Env {
		name, value, found := strings.Cut(e, "=")
		if !found || !isShellName(name) {
			leftOut = append(leftOut, e)
			continue
		}
		lines = fmt.Appendf(lines, "%s=%s\n", name, shellWord(value))
	}
	return lines, leftOut
}

// ShellProcess is the process for a shell to read: the variables user, working_directory and
// stop_signal, which hold the same as in JSON, and argv as the positional parameters.
func (r *Run) ShellProcess() []byte {
	lines := fmt.Appendf(nil, "user=%s\nworking_directory=%s\nstop_signal=%s\nset --",
		shellWord(r.User), shellWord(r.WorkingDirectory), shellWord(r.StopSignal))
	for _, word := range r.Argv {
		lines = fmt.Appendf(lines, " %s", shellWord(word))
	}
	return append(lines, '\n')
}

// shellWord quotes s, so that a shell reads it as one word.
func shellWord(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func isShellName(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
