package reftest

import "testing"

func TestExecuted(t *testing.T) {
	profile := "mode: atomic\nocipipe/lib/a/a.go:1.2,3.4 2 5\nocipipe/lib/a/a.go:5.2,6.4 1 0\nocipipe/lib/b/b.go:1.2,3.4 3 1000\n"
	if n, err := executed(profile); n != 3010 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := executed(profile + "junk\n"); err == nil {
		t.Errorf("junk: %d", n)
	}
	if p := exactly("TestX/a.b_(c)"); p != `^TestX$/^a\.b_\(c\)$` {
		t.Errorf("pattern %s", p)
	}
}
