package tree

import "testing"

func TestTally(t *testing.T) {
	var none, one, more Tally
	one.Add("a")
	more.AddAll(none)
	more.AddAll(one)
	more.Add("b")
	more.AddAll(one)
	if text := one.Text("gone"); text != "a: gone" {
		t.Errorf("%q", text)
	}
	if text := more.Text("gone"); text != "a: gone (and 2 more)" {
		t.Errorf("%q", text)
	}
	for _, c := range []struct {
		tally Tally
		want  string
	}{{none, ""}, {one, "a: left out"}, {more, "a: left out, and 2 more"}} {
		if text := c.tally.LeftOut(); text != c.want {
			t.Errorf("%+v: %q, want %q", c.tally, text, c.want)
		}
	}
}
