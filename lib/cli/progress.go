package cli

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Progress shows how far the work is: on a terminal as bars, in a log as lines, to
// a program as JSON, as --progress says. A tool starts a [Bar] for each piece of
// its work. For a tool that starts none, Progress watches the files that Open, Stream
// and Image have opened (see watch).
//
// The display never holds up the work. Bars are counters, which one goroutine samples
// a few times a second; if it has to wait for a stopped terminal, or for a reader that
// does not read, only the display gets old.
type Progress struct {
	display display       // nil: nothing is shown
	every   time.Duration // between two draws
	isAuto  bool          // --progress=auto: short work is not shown, nor anything while another tool shows its own
	muted   atomic.Bool
	watch   watch

	mu      sync.Mutex
	started bool
	ids     int
	bars    []*Bar // those whose end has not been shown

	begin     time.Time
	succeeded atomic.Bool
	end       sync.Once
	stop      chan struct{}
	done      chan struct{}
}

// display shows bars. Only the goroutine of Progress calls draw.
type display interface {
	// draw shows bars as they are now. It is called one last time with final, when
	// the work is over.
	draw(now time.Time, bars []*Bar, final bool)
	// say prints a line without tearing the bars. It returns false if the caller has to
	// print it.
	say(line []byte) bool
}

const (
	showAfter   = 400 * time.Millisecond
	lastDraw    = time.Second            // how long the end of the work waits for a display
	signalDraw  = 300 * time.Millisecond // how long a signal waits for it
	rateHorizon = 4 * time.Second        // how far back the rate looks
)

// Progress returns the progress display of the tool. It is never nil.
func (e *Env) Progress() *Progress { return e.progress }

// Own says that the tool has bars of its own, if any: files are not watched.
func (p *Progress) Own() { p.watch.off.Store(true) }

// newProgress returns a Progress that draws on d, once in every. It shows nothing if d is
// nil.
func newProgress(d display, every time.Duration) *Progress {
	return &Progress{display: d, every: every, begin: time.Now(), stop: make(chan struct{}), done: make(chan struct{})}
}

// Start begins a piece of work of total bytes, 0 if that is not known. attrs are pairs of a
// name and a value that JSON shows beside the name of the bar.
func (p *Progress) Start(name string, total int64, attrs ...string) *Bar {
	b := p.Queue(name, total, attrs...)
	b.Begin()
	return b
}

// Queue announces a piece of work that begins later, with Begin, if at all. Its arguments
// are those of Start.
func (p *Progress) Queue(name string, total int64, attrs ...string) *Bar {
	b := &Bar{p: p, name: oneLine(name), attrs: attrs}
	b.total.Store(total)
	p.add(b)
	return b
}

func (p *Progress) add(b *Bar) {
	if p.display == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids++
	b.id = p.ids
	p.bars = append(p.bars, b)
	p.startLocked()
}

func (p *Progress) startLocked() {
	if !p.started {
		p.started = true
		go p.run()
	}
}

// mute hides a display that the user has not asked for.
func (p *Progress) mute() {
	if p.isAuto {
		p.muted.Store(true)
	}
}

// isHidden reports whether the terminal is left to others: to the data, or to the tools
// before this one.
func (p *Progress) isHidden(now time.Time) bool {
	return p.muted.Load() || p.isAuto && !p.watch.isAlone(now)
}

// run updates the display until finish.
func (p *Progress) run() {
	defer close(p.done)
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if !p.isAuto || now.Sub(p.begin) >= showAfter {
				p.update(now, false)
			}
		case <-p.stop:
			p.update(time.Now(), true)
			return
		}
	}
}

func (p *Progress) update(now time.Time, final bool) {
	p.watch.update(p, final && p.succeeded.Load())
	p.mu.Lock()
	bars := slices.Clone(p.bars)
	for _, b := range bars {
		b.sample(now)
	}
	// A bar that was over when it was sampled is shown for the last time. One that has
	// ended since then is shown once more.
	p.bars = slices.DeleteFunc(p.bars, func(b *Bar) bool { return b.view.state.over })
	p.mu.Unlock()
	if p.isHidden(now) {
		bars = nil
	}
	if p.isAuto {
		bars = slices.DeleteFunc(bars, func(b *Bar) bool { return b.view.state.over && !b.view.begun })
	}
	p.display.draw(now, bars, final)
}

// finish shows the last state and takes bars from the terminal. succeeded says how the work
// ended. finish gives up after limit.
func (p *Progress) finish(succeeded bool, limit time.Duration) {
	p.mu.Lock()
	running := p.started
	p.started = true // no goroutine starts any more
	p.mu.Unlock()
	if !running {
		return
	}
	p.end.Do(func() {
		p.succeeded.Store(succeeded)
		close(p.stop)
	})
	select {
	case <-p.done:
	case <-time.After(limit):
	}
}

// say prints a line without tearing the display. It returns false if the caller has to
// print it.
func (p *Progress) say(line []byte) bool { return p.display != nil && p.display.say(line) }

// Bar is a piece of work. Its methods may be called from any goroutine, and do not
// wait.
type Bar struct {
	p     *Progress
	id    int
	name  string
	attrs []string

	count atomic.Int64
	base  atomic.Int64 // the part of count from before the work began
	total atomic.Int64

	mu    sync.Mutex
	state barState

	view view // of the goroutine that samples
}

// barState is the state of a bar, besides its count.
type barState struct {
	begin time.Time // zero before Begin

	retries int // how often Retry was called
	attempt int
	wait    time.Duration
	cause   string // of the last retry
	at      int64  // count at the last retry

	over    bool
	skipped string
	failed  string
	end     time.Time
}

// view is what a display remembers about a bar.
type view struct {
	count   int64
	total   int64
	fetched int64   // of count, since the bar began
	rate    float64 // bytes a second
	sampled time.Time
	state   barState

	queued  bool // has been shown as queued
	begun   bool // has been shown as begun
	retries int
	last    time.Time // of a line
	lastAt  int64     // count in it
}

// Begin says that the work begins now.
func (b *Bar) Begin() {
	b.p.watch.off.Store(true)
	b.beginAt(time.Now())
}

func (b *Bar) beginAt(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.begin.IsZero() {
		b.state.begin = t
	}
}

// Add counts n more bytes.
func (b *Bar) Add(n int64) { b.count.Add(n) }

// Set says that n bytes are done.
func (b *Bar) Set(n int64) { b.count.Store(n) }

// Resume is Set for bytes that were there before: they do not count as speed.
func (b *Bar) Resume(n int64) {
	b.base.Store(n)
	b.count.Store(n)
}

// SetTotal says how many bytes there will be.
func (b *Bar) SetTotal(n int64) { b.total.Store(n) }

// Retry says that attempt number n follows in wait, because of err.
func (b *Bar) Retry(n int, wait time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.retries++
	b.state.attempt, b.state.wait, b.state.cause, b.state.at = n, wait, errorText(err), b.count.Load()
}

// Done ends the bar, as a success if err is nil. Later calls change nothing.
func (b *Bar) Done(err error) { b.over("", errorText(err)) }

func (b *Bar) isOver() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.over
}

// Skip ends the bar because there is nothing to do; why says it in a word: "cached".
func (b *Bar) Skip(why string) { b.over(oneLine(why), "") }

func (b *Bar) over(skipped, failed string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.state.over {
		b.state.over, b.state.skipped, b.state.failed, b.state.end = true, skipped, failed, time.Now()
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return oneLine(err.Error())
}

// sample takes the state of b for a display to show.
func (b *Bar) sample(now time.Time) {
	s := &b.view
	b.mu.Lock()
	s.state = b.state
	b.mu.Unlock()
	s.count, s.total = b.count.Load(), b.total.Load()
	begin := s.state.begin
	if begin.IsZero() {
		return
	}
	if s.sampled.IsZero() {
		s.sampled = begin
	}
	fetched := s.count - b.base.Load()
	if dt := now.Sub(s.sampled); dt > 0 && now.After(begin) {
		rate := max(float64(fetched-s.fetched), 0) / dt.Seconds()
		s.rate += (rate - s.rate) * min(float64(dt)/float64(min(now.Sub(begin), rateHorizon)), 1)
		s.fetched, s.sampled = fetched, now
	}
}

// elapsed is how long the bar has been at work.
func (s *view) elapsed(now time.Time) time.Duration {
	switch {
	case s.state.begin.IsZero():
		return 0
	case s.state.over:
		now = s.state.end
	}
	return max(now.Sub(s.state.begin), 0)
}

// left is the time that the rest will take; negative if it is not known.
func (s *view) left() time.Duration {
	if s.total <= 0 || s.rate < 1 || s.count > s.total {
		return -1
	}
	return time.Duration(float64(s.total-s.count) / s.rate * float64(time.Second))
}

// waits reports whether nothing has come since the last retry.
func (s *view) waits() bool { return s.state.retries > 0 && s.count == s.state.at && !s.state.over }
