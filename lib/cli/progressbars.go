package cli

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

// bars shows bars on a terminal, below what else is printed, and takes them away
// at the end. They have no colours.
type bars struct {
	tty     *os.File
	refresh chan any
	gone    chan struct{} // closed when the container has ended, also by itself

	mu        sync.Mutex
	container *mpb.Progress // nil once it is closed
}

// widget is a bar on the terminal.
type widget struct {
	bar  *mpb.Bar
	text atomic.Pointer[string]
}

func newBars(tty *os.File) *bars {
	d := &bars{tty: tty, refresh: make(chan any), gone: make(chan struct{})}
	ended := make(chan any)
	d.container = mpb.New(mpb.WithOutput(tty), mpb.WithManualRefresh(d.refresh), mpb.WithShutdownNotifier(ended))
	go func() {
		<-ended
		close(d.gone)
	}()
	return d
}

// frames has the container draw n times.
func (d *bars) frames(n int) {
	for range n {
		select {
		case d.refresh <- nil:
		case <-d.gone:
		}
	}
}

// removal is how many frames it takes until a bar that was given up is gone, and
// its line is cleared.
const removal = 3

// draw shows the bars that have begun and fit. A process in the background shows
// nothing: the terminal is another's.
func (d *bars) draw(_ time.Time, all []*Bar, final bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	room, removed := height(d.tty)-2, false
	for _, b := range all {
		switch {
		case b.shown.widget == nil:
		case final, b.shown.news.over:
			b.shown.widget.bar.Abort(true)
			removed = true
		default:
			room--
		}
	}
	if removed || final {
		d.frames(removal)
	}
	if final {
		d.container.Shutdown()
		d.container = nil
		return
	}
	if !foreground(d.tty) {
		return
	}
	for _, b := range all {
		s := &b.shown
		if s.widget == nil && room > 0 && !s.news.begin.IsZero() && !s.news.over {
			room--
			s.begun, s.widget = true, d.widget(b)
		}
		if s.widget != nil && !s.news.over {
			b.show()
		}
	}
	d.frames(1)
}

// widget adds b to what the terminal shows; nil where that has gone.
func (d *bars) widget(b *Bar) *widget {
	w := new(widget)
	w.text.Store(new(string))
	filler := mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]").Build()
	if b.shown.total <= 0 {
		filler = mpb.NopStyle().Build()
	}
	var err error
	w.bar, err = d.container.Add(0, filler, mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name(b.name, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + *w.text.Load() })))
	if err != nil {
		return nil
	}
	return w
}

// show hands the state of b to its widget.
func (b *Bar) show() {
	s := &b.shown
	text := columns(s)
	if s.waits() {
		text = retryText(s.news)
	}
	s.widget.text.Store(&text)
	s.widget.bar.SetTotal(max(s.total, s.count), false)
	s.widget.bar.SetCurrent(s.count)
}

// columns is what stands behind a bar, always as wide, so that bars keep still.
func columns(s *shown) string {
	total, left := "", ""
	if s.total > 0 {
		total = "/ " + size(s.total)
	}
	if d := s.left(); d >= 0 {
		left = rounded(d)
	}
	return fmt.Sprintf("%10s %-12s %12s %8s", size(s.count), total, size(int64(s.rate))+"/s", left)
}

func (d *bars) say(line []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.container == nil {
		return false
	}
	if _, err := d.container.Write(line); err != nil {
		return false
	}
	d.frames(1)
	return true
}

func foreground(tty *os.File) bool {
	group, err := 0, error(nil)
	control(tty, func(fd int) error {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return err != nil || group == unix.Getpgrp()
}

func height(tty *os.File) int {
	rows := 24
	control(tty, func(fd int) error {
		if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil && size.Row > 0 {
			rows = int(size.Row)
		}
		return nil
	})
	return rows
}
