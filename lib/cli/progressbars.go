package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// bars shows bars on a terminal, below what is printed, and takes them away at the
// end. They have no colours. Its methods return after they have written: a tool may end
// right after its last message.
//
// The cursor stays on an empty line above the bars. So the text that another process
// prints there, such as the error of the next tool in the pipeline, is kept: the next
// frame begins below it.
type bars struct {
	tty    *os.File
	stderr io.Writer // where messages go if that is a terminal, else nil

	mu    sync.Mutex
	frame []byte // what the terminal shows
}

// draw shows the bars that are at work and fit.
func (d *bars) draw(_ time.Time, all []*Bar, final bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows, cols := winsize(d.tty)
	var visible []*Bar
	for _, b := range all {
		if n := b.view.state; !final && !n.begin.IsZero() && !n.over && len(visible) < rows-2 {
			visible = append(visible, b)
		}
	}
	d.show(nil, drawing(visible, cols-1))
}

// say prints line above the bars.
func (d *bars) say(line []byte) bool {
	if d.stderr == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.show(line, d.frame)
	return true
}

// show replaces the frame on the terminal by frame, and prints line above it. A process in
// the background neither shows nor erases a frame: the terminal belongs to another process.
func (d *bars) show(line, frame []byte) {
	if !foreground(d.tty) {
		d.frame, frame = nil, nil
	}
	var erase []byte
	if len(d.frame) > 0 {
		erase = []byte("\r\x1b[J")
	}
	if len(line) > 0 {
		d.put(erase)
		d.stderr.Write(line)
		erase = nil
	}
	d.put(append(erase, frame...))
	d.frame = frame
}

func (d *bars) put(text []byte) {
	if len(text) > 0 {
		d.tty.Write(text)
	}
}

// drawing returns a line for each bar, no wider than cols, below an empty line to which the
// cursor returns.
func drawing(bars []*Bar, cols int) []byte {
	if len(bars) == 0 {
		return nil
	}
	names := 0
	for _, b := range bars {
		names = max(names, min(width(b.name), cols/3))
	}
	var text []byte
	for _, b := range bars {
		s := &b.view
		suffix := columns(s)
		room := cols - names - len(suffix) - len("  ")
		if s.waits() {
			suffix = retryText(s.state)
		}
		name := clip(b.name, names)
		line := name + strings.Repeat(" ", names-width(name)) + " " + gauge(s, room) + " " + suffix
		text = append(append(text, '\n'), clip(line, cols)...)
	}
	return fmt.Appendf(text, "\r\x1b[%dA", len(bars))
}

// gauge returns "[===>   ]", of so many cells. It is blank if the total is not known, and
// empty if there are too few cells.
func gauge(s *view, cells int) string {
	inside := cells - len("[]")
	switch {
	case inside < 3:
		return ""
	case s.total <= 0:
		return strings.Repeat(" ", cells)
	}
	full := int(float64(inside) * min(float64(max(s.count, 0))/float64(s.total), 1))
	bar := strings.Repeat("=", full)
	if 0 < full && full < inside {
		bar = bar[1:] + ">"
	}
	return "[" + bar + strings.Repeat(" ", inside-full) + "]"
}

// columns returns the text after a bar. It is always as wide, so that the bars keep still.
func columns(s *view) string {
	total, left := "", ""
	if s.total > 0 {
		total = "/ " + size(s.total)
	}
	if d := s.left(); d >= 0 {
		left = rounded(d)
	}
	return fmt.Sprintf("%10s %-12s %12s %8s", size(s.count), total, size(int64(s.rate))+"/s", left)
}

// width returns the largest number of terminal cells that s, which is printable, may take.
func width(s string) (cells int) {
	for _, r := range s {
		cells += runeWidth(r)
	}
	return cells
}

// clip returns as much of s as surely fits into so many cells.
func clip(s string, cells int) string {
	for i, r := range s {
		if cells -= runeWidth(r); cells < 0 {
			return s[:i]
		}
	}
	return s
}

// runeWidth takes every rune from Hangul on to be wide. For those that are not, a name gets
// less room than it needs, but a line that is too wide would tear the drawing.
func runeWidth(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}

// winsize returns the size of a terminal, or 24 by 80 if the terminal does not tell.
func winsize(tty *os.File) (rows, cols int) {
	rows, cols = 24, 80
	control(tty, func(fd int) error {
		w, h, err := term.GetSize(fd)
		if err == nil && h > 0 {
			rows = h
		}
		if err == nil && w > 0 {
			cols = w
		}
		return nil
	})
	return rows, cols
}
