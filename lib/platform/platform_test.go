package platform

import (
	"runtime"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "linux/" + runtime.GOARCH,
		"Linux/X86_64":          "linux/amd64",
		"linux/arm":             "linux/arm/v7",
		"linux/arm64/v8":        "linux/arm64",
		"macos/arm64":           "darwin/arm64",
		"windows(10.0)/amd64":   "windows(10.0)/amd64",
		"linux(+erofs+x)/386":   "linux(+erofs+x)/386",
		"windows(1+f)/amd64/v2": "windows(1+f)/amd64/v2",
	} {
		p, err := Parse(in)
		if err != nil || p.Full() != want && in != "" {
			t.Errorf("%q: %s, %v", in, p.Full(), err)
		}
		if again, err := Parse(p.Full()); err != nil || again.Full() != p.Full() || !slices.Equal(again.OSFeatures, p.OSFeatures) {
			t.Errorf("%q becomes %s and then %s, %v", in, p.Full(), again.Full(), err)
		}
	}
	for _, bad := range []string{
		"linux", "linux/", "/amd64", "linux/arm/v7/x", "linux//v7",
		"linux(/amd64", "linux()x/amd64", "(+erofs)/amd64", "linux+erofs/amd64", "linux(+)/amd64", "linux(1++x)/amd64",
	} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestRank(t *testing.T) {
	for _, c := range []struct {
		want, have string
		rank       int
		accepts    bool
	}{
		{"linux/amd64", "linux/amd64", 0, true},
		{"linux/amd64", "linux/386", 1, true},
		{"linux/amd64/v2", "linux/amd64", 1, true},
		{"linux/amd64", "linux/amd64/v2", -1, false},
		{"linux/arm/v7", "linux/arm/v5", 2, true},
		{"linux/arm/v6", "linux/arm/v7", -1, false},
		{"linux/arm64", "linux/arm/v8", 1, true},
		{"linux/arm64/v9", "linux/arm64", 6, true},
		{"linux/amd64", "windows/amd64", -1, false},
		{"linux/amd64", "linux(+erofs)/amd64", -1, false},
		{"linux(+erofs)/amd64", "linux/amd64", 0, true},
		{"windows(10.0)/amd64", "windows(10.0.1)/amd64", 0, true},
		{"windows(10.0)/amd64", "windows(10.01)/amd64", -1, false},
	} {
		want, err := Parse(c.want)
		if err != nil {
			t.Fatal(err)
		}
		have, err := Parse(c.have)
		if err != nil {
			t.Fatal(err)
		}
		if rank := want.Rank(have); rank != c.rank {
			t.Errorf("%s for %s: rank %d, want %d", c.have, c.want, rank, c.rank)
		}
		if want.Accepts(have) != c.accepts {
			t.Errorf("%s for %s: accepted %v", c.have, c.want, !c.accepts)
		}
	}
	older := Platform{OS: "linux", Architecture: "arm"} // as builders once left the variant out
	if v6, _ := Parse("linux/arm/v6"); v6.Rank(older) >= 0 || !v6.Accepts(older) || !v6.Accepts(Platform{}) {
		t.Error("what an image does not say counts against it")
	}
}
