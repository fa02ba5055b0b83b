package volume

import (
	"errors"
	"fmt"
	"testing"

	"ocipipe/lib/ext4/disk"
)

func TestClaims(t *testing.T) {
	var c Claims
	for i := range uint64(20000) {
		n := (i*7919 + 1) % 20011
		if err := c.Add(1+2*n, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Merge(); err != nil || len(c.Sorted) != 20000 {
		t.Errorf("%d runs, %v", len(c.Sorted), err)
	}
	for _, twice := range []Claim{{1, 2}, {0, 2}, {1, 5}, {0, 100000}, {40001, 40002}} {
		d := Claims{Sorted: c.Sorted}
		err := d.Add(twice.First, twice.End-twice.First)
		if err == nil {
			err = d.Merge()
		}
		if !errors.Is(err, disk.ErrCorrupt) {
			t.Errorf("%v again: %v", twice, err)
		}
	}
	c = Claims{}
	for _, x := range []Claim{{5, 7}, {7, 9}, {0, 5}, {20, 30}} {
		if err := c.Add(x.First, x.End-x.First); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Merge(); err != nil || fmt.Sprint(c.Sorted) != "[{0 9} {20 30}]" {
		t.Errorf("%v, %v", c.Sorted, err)
	}
}
