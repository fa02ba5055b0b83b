package reftest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// leaks is a test that keeps what it is told.
type leaks struct {
	testing.TB
	said string
}

func (l *leaks) Helper() {}

func (l *leaks) Errorf(format string, args ...any) { l.said += format }

// TestLeft checks that Left finds what is left, and nothing if everything has ended.
func TestLeft(t *testing.T) {
	before := RunningNow(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	for range 100 { // more than other tests may have left, which end meanwhile
		go func() { <-end }()
	}
	l := &leaks{TB: t}
	before.Left(l)
	if !strings.Contains(l.said, "left open") || !strings.Contains(l.said, "goroutines") {
		t.Errorf("of a file and a goroutine it says %q", l.said)
	}
	close(end)
	f.Close()
	before.Left(t)
}
