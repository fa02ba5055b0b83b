package materialize

import (
	"testing"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci/pull"
	fake "ocipipe/lib/reftest/registry"
)

// BenchmarkHit finds all artifacts of an image of 40 layers.
func BenchmarkHit(b *testing.B) {
	s, err := fake.Start(fake.Config{})
	must(b, err)
	defer s.Close()
	s.AddImage("r", "v1", stack(b, 40)...)
	dir := b.TempDir()
	run := func() *Result {
		store, err := cas.Open(b.Context(), dir, cas.Options{})
		must(b, err)
		r, err := Materialize(b.Context(), Options{Ref: s.Host + "/r:v1", Target: All, Pull: pull.Options{Cache: store}})
		must(b, err)
		return r
	}
	run()
	for b.Loop() {
		if !run().Hit {
			b.Fatal("no hit")
		}
	}
}
