package archive

import (
	"slices"
	"testing"
)

// A map of fewer runs than there are has all the data, and fills the smallest holes.
func TestMapLimit(t *testing.T) {
	var data []Run
	for i := range int64(10) {
		data = append(data, Run{i*i*8192 + i*mapUnit, mapUnit}) // ever larger holes
	}
	const size = 10 << 20
	all := MapLimit(data, size, MaxRuns)
	if len(all) != 11 {
		t.Fatalf("%v", all)
	}
	for limit := 2; limit <= 11; limit++ {
		runs := MapLimit(data, size, limit)
		if len(runs) > limit || len(runs) < min(limit, 4)/2 {
			t.Errorf("limit %d: %d runs", limit, len(runs))
		}
		m := Member{Name: "x", Size: size, Runs: runs}
		for _, r := range runs {
			m.Stored += r.Len
		}
		if err := m.checkRuns(); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
		for _, d := range data {
			if !slices.ContainsFunc(runs, func(r Run) bool { return r.Off <= d.Off && d.Off+d.Len <= r.Off+r.Len }) {
				t.Errorf("limit %d: %v is missing in %v", limit, d, runs)
			}
		}
	}
	if runs := MapLimit(data, size, 10); runs[len(runs)-2] != data[9] {
		t.Errorf("the largest hole was filled: %v", runs)
	}
}
