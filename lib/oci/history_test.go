package oci

import (
	"slices"
	"testing"
)

func TestCreatedBy(t *testing.T) {
	for config, want := range map[string][]string{
		`{"history": [{"created_by": "ADD rootfs"}, {"created_by": "CMD sh", "empty_layer": true}, {"created_by": "RUN  a &&\n\tb\u001b[2J"}]}`: {"ADD rootfs", "RUN a && b [2J"},
		`{"history": [{"comment": "buildkit"}, {}]}`:            {"buildkit", ""},
		`{"history": [{"created_by": "one"}]}`:                  nil,
		`{"history": [{"created_by": 1}, {"created_by": "a"}]}`: nil,
		`{}`: nil,
		``:   nil,
	} {
		img := &Image{Config: []byte(config), Layers: make([]Layer, 2)}
		if have := img.CreatedBy(); !slices.Equal(have, want) {
			t.Errorf("%s: %q", config, have)
		}
	}
}
