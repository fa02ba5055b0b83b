package form

import (
	"errors"
	"slices"
	"testing"

	"ocipipe/lib/snapshot/fault"
)

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		parents map[string]string
		head    string
		want    []string
	}{
		{map[string]string{"a": ""}, "a", []string{"a"}},
		{map[string]string{"a": "b", "b": "c", "c": ""}, "a", []string{"c", "b", "a"}},
		{map[string]string{"a": "b", "b": "elsewhere"}, "a", []string{"b", "a"}},
		{map[string]string{"a": "", "b": "a", "c": "a"}, "b", []string{"a", "c", "b"}},
		{map[string]string{"a": "b", "b": "", "c": "a"}, "b", []string{"a", "c", "b"}}, // not the newest
		{map[string]string{"a": "a"}, "a", nil},
		{map[string]string{"a": "b", "b": "c", "c": "b"}, "a", nil},
	} {
		have, err := Order(c.parents, c.head)
		if !slices.Equal(have, c.want) || (c.want == nil) != errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("%v, head %s: %v, %v", c.parents, c.head, have, err)
		}
	}
}
