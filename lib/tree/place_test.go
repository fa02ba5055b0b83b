package tree

import "testing"

func TestPlace(t *testing.T) {
	var root *Place
	a := root.Join("a")
	for want, p := range map[string]*Place{".": root, "a": a, "a/b": a.Join("b"), "a/c/d": a.Join("c").Join("d")} {
		if got := p.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
