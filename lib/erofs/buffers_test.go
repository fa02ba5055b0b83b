package erofs

import (
	"testing"
)

// Buffers come back, the newest first, and never hold more than they may.
func TestBuffers(t *testing.T) {
	var b buffers
	small, large := b.take(minFree), b.take(minFree+1)
	if len(small) != 0 || cap(small) != minFree || cap(large) != 2*minFree {
		t.Fatalf("room for %d and %d", cap(small), cap(large))
	}
	b.give(append(small, 1))
	b.give(large)
	if again := b.take(minFree); &again[:1][0] != &small[:1][0] || len(again) != 0 {
		t.Error("another buffer, or not an empty one")
	}
	for range 40 {
		b.give(make([]byte, 0, 1<<20))
		b.give(make([]byte, 0, minFree/2))   // not worth it
		b.give(make([]byte, 0, 2*maxFree))   // too large
		b.give(make([]byte, 0, 3*minFree+1)) // not from here
	}
	if n := int64(len(b.free)) << 20; n != maxFree || b.size != maxFree {
		t.Errorf("%d bytes, or %d", n, b.size)
	}
	if b.take(2 * minFree); b.size != maxFree { // the first one is gone
		t.Errorf("%d bytes after one that is not there", b.size)
	}
}
