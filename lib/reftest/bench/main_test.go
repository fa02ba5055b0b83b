package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	os.WriteFile(in, []byte("b\na\n"), 0o666)
	for _, pipeline := range [][][]string{{{"cat"}, {"sort"}, {"cat"}}, {{"sort", "-o", "{out}", "{in}"}}} {
		s, err := measure(pipeline, in, out)
		if b, _ := os.ReadFile(out); err != nil || string(b) != "a\nb\n" {
			t.Errorf("%v: %q, %v", pipeline, b, err)
		}
		if s.wall <= 0 || s.rss <= 0 || s.size != 4e-6 {
			t.Errorf("%v: %+v", pipeline, s)
		}
	}
	_, err := measure([][]string{{"cat"}, {"sh", "-c", "cat >/dev/null; echo why >&2; exit 3"}}, in, out)
	if err == nil || !strings.Contains(err.Error(), "exit status 3: why") {
		t.Errorf("a failed stage: %v", err)
	}
}

func TestMedian(t *testing.T) {
	m := median([]sample{{wall: 3, cpu: 1}, {wall: 1, cpu: 2}, {wall: 2, cpu: 3}})
	if m.wall != 2 || m.cpu != 2 {
		t.Errorf("%+v", m)
	}
}
