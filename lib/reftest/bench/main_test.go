package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte("b\na\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"cat | sort | cat", "sort -o {out} {in}", "cat {in} | sort", "sort | tee {out}"} {
		s, err := (&bench{}).measure(row{}, contender{line: line}, in, out)
		if b, _ := os.ReadFile(out); err != nil || string(b) != "a\nb\n" {
			t.Errorf("%s: %q, %v", line, b, err)
		}
		if s.wall <= 0 || s.maxRSS <= 0 || s.sumRSS < s.maxRSS || math.Abs(s.size-4e-6) > 1e-12 {
			t.Errorf("%s: %+v", line, s)
		}
	}
	_, err := measure("cat | sort --no-such-flag | cat", in, out)
	if err == nil || !strings.Contains(err.Error(), "sort --no-such-flag: exit status 2: ") {
		t.Errorf("a failed stage: %v", err)
	}
}

func TestReport(t *testing.T) {
	ours := []sample{{wall: 3, cpu: 1}, {wall: 1, cpu: 2}, {wall: 2, cpu: 3}}
	peer := []sample{{wall: 30, cpu: 2}, {wall: 2, cpu: 2}, {wall: 8, cpu: 2}}
	var r report
	r.add("row", "ours", ours, nil, ours)
	r.add("row", "peer", ours, nil, peer)
	for i, want := range []result{{Wall: 2, CPU: 2, WallRatio: 1, CPURatio: 1}, {Wall: 8, CPU: 2, WallRatio: 0.25, CPURatio: 1}} {
		if x := r.Results[i]; x.Wall != want.Wall || x.CPU != want.CPU || x.WallRatio != want.WallRatio || x.CPURatio != want.CPURatio {
			t.Errorf("%+v, want %+v", x, want)
		}
	}
	path := filepath.Join(t.TempDir(), "json")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	if back, err := readReport(path); err != nil || len(back.Results) != 2 || back.Results[1] != r.Results[1] {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestCompare(t *testing.T) {
	var then, now report
	then.Machine = "slow"
	ours, peer := []sample{{wall: 2, cpu: 4, sumRSS: 8, size: 16}}, []sample{{wall: 1, cpu: 1, sumRSS: 1, size: 0}}
	then.add("row", "ours", ours, nil, ours)
	then.add("row", "peer", ours, nil, peer)
	then.add("gone", "ours", ours, nil, ours)
	path := filepath.Join(t.TempDir(), "json")
	if err := then.write(path); err != nil {
		t.Fatal(err)
	}
	former, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	ours = []sample{{wall: 1, cpu: 1, sumRSS: 1, size: 1}}
	now.add("row", "ours", ours, nil, ours)
	now.add("row", "peer", ours, nil, peer)
	now.add("new", "ours", ours, nil, ours)
	var b strings.Builder
	now.compare(&b, former, true)
	want := []string{
		"Before: slow",
		"new / old wall CPU memory output",
		"row ours 0.50 0.25 0.12 0.0625",
		"row peer 1.00 1.00 1.00 1.0000",
		"ratio of ours to it 0.50 0.25 0.12 0.0625",
		"new ours was not measured then",
		"gone ours is not measured now",
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i := range max(len(lines), len(want)) {
		if i >= len(lines) || i >= len(want) || strings.Join(strings.Fields(lines[i]), " ") != want[i] {
			t.Fatalf("%s\nwant %q", b.String(), want)
		}
	}
	b.Reset()
	if now.compare(&b, former, false); strings.Contains(b.String(), "gone") {
		t.Errorf("a row that nobody asked for: %s", b.String())
	}
	for name, text := range map[string]string{"empty": "", "other": "{}", "list": "[1]"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if r, err := readReport(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// Peers are compared with the pipeline, and in a second column with the form in one process.
func TestInProcess(t *testing.T) {
	at := func(wall float64) []sample { return []sample{{wall: wall, cpu: 2 * wall, sumRSS: 3 * wall, size: 1}} }
	var b bench
	b.addAll("row", []measured{
		{contender: contender{name: "ours"}, samples: at(4)},
		{contender: contender{name: inOneProcess}, samples: at(1)},
		{contender: contender{name: "peer"}, samples: at(2)},
	})
	b.addAll("other", []measured{{contender: contender{name: "ours"}, samples: at(1)}, {contender: contender{name: "peer"}, samples: at(1)}})
	if x := b.report.Results[2]; x.WallRatio != 2 || x.InProcess == nil || *x.InProcess != (ratios{0.5, 0.5, 0.5, 1}) {
		t.Errorf("%+v", x)
	}
	for _, i := range []int{0, 1, 3, 4} {
		if x := b.report.Results[i]; x.InProcess != nil {
			t.Errorf("%s, %s: %v in one process", x.Row, x.By, *x.InProcess)
		}
	}
}

// A run that took long is measured once.
func TestOnce(t *testing.T) {
	var r report
	one, three := []sample{{wall: 2}}, []sample{{wall: 1}, {wall: 1}, {wall: 1}}
	r.add("row", "ours", three, nil, three)
	r.add("row", "slow", three, nil, one)
	r.add("row", "quick", one, nil, three)
	if r.Results[1].WallRatio != 0.5 || r.Results[2].WallRatio != 2 {
		t.Errorf("%+v", r.Results)
	}
}

// Every row fills in what its lines have.
func TestRows(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows() {
		if names[r.name] || r.contenders[0].name != "ours" {
			t.Errorf("%s: there twice, or not by ours first", r.name)
		}
		names[r.name] = true
		for _, c := range r.contenders {
			if r.serve != nil {
				c.line = strings.ReplaceAll(c.line, "{host}", "")
			}
			line := fill(strings.ReplaceAll(c.line, "{diff-id}", ""), "IN", "OUT") + fill(c.list+r.list+r.prepare, "IN", "OUT")
			if left := regexp.MustCompile(`\{[a-z-]+\}`).FindString(line); left != "" {
				t.Errorf("%s: %s: nothing fills in %s", r.name, c.name, left)
			}
		}
	}
	for _, name := range []string{"empty-4G", "empty-64G", "empty-1T", "ext4-files", "ext4-large", "ext4-directory", "fetch", "fetch-far", "fetch-one",
		"disk", "disk-npm", "disk-core", "layers-1", "layers-3", "layers-20", "layers-100", "pull-3", "pull-20", "hit-3", "hit-40", "flat"} {
		if !names[name] {
			t.Errorf("no row %s", name)
		}
	}
}
