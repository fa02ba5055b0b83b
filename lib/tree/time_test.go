package tree

import "testing"

func TestRetimed(t *testing.T) {
	early, middle, late := Time{1, 5}, Time{2, 0}, Time{2, 7}
	for _, c := range []struct {
		t            Time
		mtime, clamp *Time
		want         Time
	}{
		{late, nil, nil, late},
		{late, &early, nil, early},
		{late, nil, &middle, middle},
		{early, nil, &middle, early},
		{middle, nil, &middle, middle},
		{early, &late, &middle, middle},
	} {
		if got := c.t.Retimed(c.mtime, c.clamp); got != c.want {
			t.Errorf("%v with %v and %v: %v, want %v", c.t, c.mtime, c.clamp, got, c.want)
		}
	}
}
