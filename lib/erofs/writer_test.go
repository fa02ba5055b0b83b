package erofs

import (
	"testing"

	"ocipipe/lib/tree"
)

func TestRoundTrip(t *testing.T) {
	for _, opts := range []Options{{}, {Layer: true}, {BlockSize: 512}, {BlockSize: 1024}, {BlockSize: 65536}} {
		b := build(t, opts, corpus()...)
		form := tree.Flat
		if opts.Layer {
			form = tree.Layer
		}
		want := canonical(t, form, corpus()...)
		if d := firstDifference(want, stream(t, open(t, b).Source())); d != "" {
			t.Errorf("%+v: %s", opts, d)
		}
	}
}
