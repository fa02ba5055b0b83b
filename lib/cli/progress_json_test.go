package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// events runs the probe and returns the JSON that it writes to descriptor 3.
func events(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := command(t, append(args, "--progress-fd=3")...)
	cmd.ExtraFiles = []*os.File{file}
	if status, stderr := run(t, cmd); status != "0" || stderr != "" {
		t.Fatalf("status %s: %s", status, stderr)
	}
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return parseEvents(t, b)
}

func parseEvents(t *testing.T, b []byte) (list []map[string]any) {
	t.Helper()
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, m)
	}
	return list
}

func TestProgressJSON(t *testing.T) {
	t.Parallel()
	got := map[string]string{} // by name; what comes between, and when, is up to the clock
	for _, e := range events(t, "--do=progress", "--bars=ends") {
		if e["tool"] != "probe" || e["elapsed"].(float64) < 0 || e["rate"].(float64) < 0 {
			t.Errorf("%v", e)
		}
		at, name := e["done"], e["name"].(string)
		switch e["event"] {
		case "progress":
			continue
		case "queued":
			if name != "late" {
				continue
			}
		case "start":
			at = "?"
			if e["name"] == "a" && (e["digest"] != "sha256:00" || e["layer"] != "0") {
				t.Errorf("%v", e)
			}
		case "retry":
			if e["attempt"] != 2.0 || e["wait"] != 1.5 || e["error"] != `con; nection\033 reset` {
				t.Errorf("%v", e)
			}
		case "skipped":
			if e["reason"] != "cached" {
				t.Errorf("%v", e)
			}
		case "failed":
			if e["error"] != "digest is wrong" {
				t.Errorf("%v", e)
			}
		}
		got[name] += fmt.Sprintf("%v %v %v %v; ", e["event"], e["id"], at, e["total"])
	}
	want := map[string]string{
		"late": "queued 1 0 7; start 1 ? 7; ",
		"a":    "start 2 ? 1000; retry 2 400 1000; done 2 1000 1000; ",
		"b":    "skipped 3 0 <nil>; ",
		"c":    "start 4 ? 50; failed 4 0 50; ",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProgressPlain(t *testing.T) {
	t.Parallel()
	status, stderr := run(t, playing(t, "--progress=plain", "--bars=ends"))
	want := `^probe: a: 400 B of 1000 B \(40 %\)
probe: a: retry 2 in 1\.5s: con; nection\\033 reset
probe: late: 0 B of 7 B \(0 %\)
probe: a: done, 1000 B in .*s
probe: b: cached
probe: c: 0 B of 50 B \(0 %\)
probe: c: digest is wrong
$`
	if status != "0" || !regexp.MustCompile(want).MatchString(stderr) {
		t.Errorf("status %s: %s", status, stderr)
	}
}

// TestProgressPlainSteps: lines come with every tenth, and in time without.
func TestProgressPlainSteps(t *testing.T) {
	var out bytes.Buffer
	d := &plain{tool: "t", out: &out}
	b := &Bar{name: "x"}
	b.total.Store(100 << 20)
	now := time.Unix(0, 0)
	b.beginAt(now)
	at := func(after time.Duration, mib int64) {
		b.Set(mib << 20)
		b.sample(now.Add(after))
		d.draw(now.Add(after), []*Bar{b}, false)
	}
	at(0, 0)
	at(500*time.Millisecond, 30)
	at(1*time.Second, 40) // a tenth, and a second
	at(3*time.Second, 41)
	at(7*time.Second, 42) // six seconds
	at(20*time.Second, 42)
	want := "t: x: 0 B of 100.0 MiB (0 %)\n" +
		"t: x: 40.0 MiB of 100.0 MiB (40 %), 40.0 MiB/s, 1.5s left\n" +
		"t: x: 42.0 MiB of 100.0 MiB (42 %), 256.0 KiB/s, 3m52s left\n" // over the last four seconds
	if got := out.String(); got != want {
		t.Errorf("%s want %s", got, want)
	}
}
