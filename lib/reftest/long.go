package reftest

import (
	"os"
	"testing"
)

// Long skips t, a test that takes longer than seconds, unless "make soak" runs it. Unlike
// Skip it does not fail under CI.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("SOAK") != "true" {
		t.Skip("takes long; make soak runs it")
	}
}

// OneThread skips t, a long test without goroutines of its own, where the race detector
// runs it with -short (tests/shell/race.sh).
func OneThread(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("long, and without goroutines of its own")
	}
}

// SameThreads skips t where the race detector runs it: it is long, and the goroutines are
// those of another test.
func SameThreads(t testing.TB, other string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("long, with goroutines that %s has too", other)
	}
}
