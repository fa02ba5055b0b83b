package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// ended counts how often the end of each bar is shown.
type ended map[int]int

func (d ended) say([]byte) bool { return false }

func (d ended) draw(_ time.Time, bars []*Bar, _ bool) {
	for _, b := range bars {
		if b.view.state.over {
			d[b.id]++
		}
	}
}

// TestWatch: what is shown of tools that show nothing themselves.
func TestWatch(t *testing.T) {
	const n = 1000
	dir := t.TempDir()
	open := func(name string) *os.File {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, n), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	var out bytes.Buffer
	p := newProgress(&jsonLines{tool: "t", out: &out}, time.Hour)
	written := int64(0)
	a, b := open("a"), open("b")
	for _, f := range []*os.File{a, b} {
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		p.input(f, info)
	}
	p.output(a, func() int64 { return written })
	var shown []string
	look := func() {
		out.Reset()
		now := time.Now().Add(time.Hour) // so that every change is shown
		for _, bar := range p.bars {
			bar.view.last = time.Time{}
		}
		p.update(now, false)
		for _, e := range parseEvents(t, out.Bytes()) {
			shown = append(shown, fmt.Sprint(e["event"], " ", e["name"], " ", e["done"], " of ", e["total"]))
		}
		shown = append(shown, "")
	}
	look()
	io.ReadFull(a, make([]byte, 300))
	look()
	a.Close() // counts as read
	look()
	io.ReadAll(b)
	written = 700
	look()
	p.watch.ended = time.Time{}.Add(time.Hour) // long ago
	look()
	written = 0 // closed, too
	look()
	p.watch.update(p, true)
	look()
	want := []string{
		"", "start read inputs 300 of 2000", "", "progress read inputs 1000 of 2000", "", "done read inputs 2000 of 2000", "",
		"start written 700 of <nil>", "", "", "done written 700 of <nil>", "",
	}
	if !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
	p.finish(true, time.Second)
}

// TestWatchAfterBars: what a tool writes after its bars is shown, with its total.
func TestWatchAfterBars(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&jsonLines{tool: "t", out: &out}, time.Hour)
	written := int64(5)
	p.output(os.Stderr, func() int64 { return written })
	p.expect(100)
	bar := p.Start("layer", 10)
	var shown []string
	look := func() {
		out.Reset()
		p.update(time.Now().Add(time.Hour), false)
		for _, e := range parseEvents(t, out.Bytes()) {
			shown = append(shown, fmt.Sprint(e["event"], " ", e["name"], " ", e["total"]))
		}
		shown = append(shown, "")
	}
	long := time.Time{}.Add(time.Hour)
	p.watch.ended = long
	look()
	bar.Set(10)
	bar.Done(nil)
	look()
	look()
	p.watch.ended = long
	look()
	p.watch.update(p, true)
	look()
	want := []string{"start layer 10", "", "done layer 10", "", "", "start written 100", "", "done written 100", ""}
	if !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
	p.finish(true, time.Second)
}

// TestWatchRandom: for a file that is read at random the bytes that are written are shown.
func TestWatchRandom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, make([]byte, 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"--image", "-o", path + ".out"}} {
		var last map[string]any
		for _, e := range events(t, append(args, path)...) {
			last = e
		}
		if last["event"] != "done" || last["name"] != "written" || last["done"].(float64) < 1000 {
			t.Errorf("%q: %v", args, last)
		}
	}
}
