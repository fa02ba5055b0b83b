package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	a, b := bytes.Repeat([]byte("a"), piece+1), bytes.Repeat([]byte("b"), 2*piece)
	write(t, filepath.Join(dir, "tree", "z z"), a)
	write(t, filepath.Join(dir, "tree", "d", "b"), b)
	for _, c := range []struct{ name, places, want, fault string }{
		{"all", "", string(b) + string(a), ""},
		{"pieces", "1 d/b\n0 z z\n", string(b[:piece]) + string(a[:piece]), ""},
		{"end", "1 z z\n", "", "z z: at 4096: EOF"},
		{"no file", "1 d/c\n", "", "no such file"},
		{"no number", "d/b\n", "", "invalid syntax"},
	} {
		places := ""
		if c.places != "" {
			places = filepath.Join(dir, "places")
			write(t, places, []byte(c.places))
		}
		var out strings.Builder
		err := run(&out, filepath.Join(dir, "tree", "z z"), filepath.Join(dir, "tree"), places)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) || out.Len() > 0 {
				t.Errorf("%s: %v, %q", c.name, err, out.String())
			}
			continue
		}
		if want := fmt.Sprintf("%x\n", xxh3.HashString128(c.want).Bytes()); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", c.name, out.String(), err)
		}
	}
}

func write(t *testing.T, name string, b []byte) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o666); err != nil {
		t.Fatal(err)
	}
}
