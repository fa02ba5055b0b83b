package reftest

import (
	"os"
	"strings"
	"testing"
)

func TestGolden(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GOLDEN", "")
	fake := &fakeTB{}
	if Golden(fake, "a", strings.NewReader("one")); !strings.Contains(fake.ended, "golden is") {
		t.Errorf("a missing line passed: %q", fake.ended)
	}
	t.Setenv("GOLDEN", "update")
	Golden(t, "b", strings.NewReader("two"))
	Golden(t, "a", strings.NewReader("one"))
	t.Setenv("GOLDEN", "")
	Golden(t, "a", strings.NewReader("one"))
	fake = &fakeTB{}
	if Golden(fake, "a", strings.NewReader("two")); !strings.Contains(fake.ended, "make golden") {
		t.Errorf("other bytes passed: %q", fake.ended)
	}
	want := "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  a\n3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  b\n"
	if b, err := os.ReadFile(goldenFile); err != nil || string(b) != want {
		t.Errorf("file holds %q, %v", b, err)
	}
}
