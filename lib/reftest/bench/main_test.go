package main

import (
	"math"
	"os"
	"path/filepath"
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
		s, err := measure(line, in, out)
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
	r.add("row", "ours", ours, ours)
	r.add("row", "peer", ours, peer)
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
