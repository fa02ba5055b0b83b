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

func TestParseTime(t *testing.T) {
	for s, want := range map[string]Time{
		"0": {}, "7": {7, 0}, "-7": {-7, 0}, "1.5": {1, 500_000_000}, "-1.5": {-2, 500_000_000}, "-0.25": {-1, 750_000_000},
		"1.000000001": {1, 1}, "1970-01-01T00:00:01Z": {1, 0}, "1969-12-31T23:59:58.5Z": {-2, 500_000_000},
		"1970-01-01T01:00:00+01:00": {},
	} {
		if got, ok := ParseTime(s); !ok || got != want {
			t.Errorf("%s: %v, %t, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "+1", "1.", ".5", "1.0000000001", "1.x", "1.-5", "1e3", "now", "-9223372036854775808", "1970-01-01"} {
		if got, ok := ParseTime(s); ok {
			t.Errorf("%s: %v", s, got)
		}
	}
}
