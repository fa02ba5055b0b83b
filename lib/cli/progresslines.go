package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"
)

// plain shows bars as lines of text: when a bar begins, every few seconds or tenth of it,
// when it is tried again, and when it ends.
type plain struct {
	tool string
	out  io.Writer
	dead bool // a write has failed
}

const (
	plainEvery = 5 * time.Second
	plainTenth = time.Second // the shortest time between lines for tenths
)

func (d *plain) say([]byte) bool { return false }

func (d *plain) draw(now time.Time, bars []*Bar, _ bool) {
	for _, b := range bars {
		d.bar(now, b)
	}
}

func (d *plain) bar(now time.Time, b *Bar) {
	s := &b.view
	if s.state.begin.IsZero() && !s.state.over {
		return
	}
	if !s.begun && s.state.skipped == "" {
		s.begun, s.last, s.lastAt = true, now, s.count
		d.line(b, counted(s))
	}
	if s.retries < s.state.retries {
		s.retries = s.state.retries
		d.line(b, retryText(s.state))
	}
	switch since := now.Sub(s.last); {
	case s.state.over:
		d.line(b, endText(b))
	case s.count == s.lastAt:
	case since >= plainEvery, since >= plainTenth && s.total > 0 && (s.count-s.lastAt)*10 >= s.total:
		s.last, s.lastAt = now, s.count
		d.line(b, counted(s)+speed(s))
	}
}

func (d *plain) line(b *Bar, text string) {
	d.dead = d.dead || !put(d.out, fmt.Appendf(nil, "%s: %s: %s\n", d.tool, b.name, text))
}

// put writes a line in one go, so that it does not mix with others.
func put(w io.Writer, line []byte) (ok bool) {
	_, err := w.Write(line)
	return err == nil
}

// counted returns "12.5 of 30.1 MiB (41 %)".
func counted(s *view) string {
	if s.total <= 0 {
		return size(s.count)
	}
	return fmt.Sprintf("%s of %s (%d %%)", size(s.count), size(s.total), percent(s))
}

func percent(s *view) int64 {
	return int64(float64(min(s.count, s.total)) / float64(s.total) * 100)
}

// speed returns ", 5.1 MiB/s, 4s left", as far as it is known.
func speed(s *view) string {
	text := ", " + size(int64(s.rate)) + "/s"
	if left := s.left(); left >= 0 {
		text += ", " + rounded(left) + " left"
	}
	return text
}

func retryText(n barState) string {
	return fmt.Sprintf("retry %d in %s: %s", n.attempt, rounded(n.wait), n.cause)
}

func endText(b *Bar) string {
	s := &b.view
	switch n := s.state; {
	case n.failed != "":
		return n.failed
	case n.skipped != "":
		return n.skipped
	default:
		return fmt.Sprintf("done, %s in %s", size(s.count), rounded(s.elapsed(n.end)))
	}
}

// size formats a number of bytes in the unit that suits it.
func size(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n) / 1024
	for f >= 1023.95 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}

// rounded formats a duration, without digits that do not matter.
func rounded(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 100*time.Hour:
		return d.Round(time.Minute).String()[:len(d.Round(time.Minute).String())-2]
	}
	return "days"
}

// jsonLines shows bars to a program, one object a line.
type jsonLines struct {
	tool string
	out  io.Writer
	dead bool
}

// jsonEvery is the shortest time between two lines of progress of a bar.
const jsonEvery = 250 * time.Millisecond

// record is a line of JSON; the attributes of the bar are added to it.
type record struct {
	Tool  string `json:"tool"`
	Event string `json:"event"` // queued start progress retry done skipped failed
	ID    int    `json:"id"`    // of the bar, from 1
	Name  string `json:"name"`

	Done    int64    `json:"done"`            // bytes
	Total   int64    `json:"total,omitempty"` // bytes, if known
	Rate    int64    `json:"rate"`            // bytes a second
	Left    *float64 `json:"left,omitempty"`  // seconds, if known
	Elapsed float64  `json:"elapsed"`         // seconds

	Attempt int      `json:"attempt,omitempty"` // of a retry: which one follows,
	Wait    *float64 `json:"wait,omitempty"`    // in how many seconds,
	Error   string   `json:"error,omitempty"`   // and why; or why it failed
	Reason  string   `json:"reason,omitempty"`  // why it was skipped
}

func (d *jsonLines) say([]byte) bool { return false }

func (d *jsonLines) draw(now time.Time, bars []*Bar, final bool) {
	for _, b := range bars {
		d.bar(now, b, final)
	}
}

func (d *jsonLines) bar(now time.Time, b *Bar, final bool) {
	s := &b.view
	switch waits := s.state.begin.IsZero(); {
	case waits && !s.queued && !s.state.over:
		s.queued = true
		d.line(now, b, record{Event: "queued"})
	case !waits && !s.begun:
		s.begun, s.last, s.lastAt = true, now, s.count
		d.line(now, b, record{Event: "start"})
	}
	if s.retries < s.state.retries {
		s.retries = s.state.retries
		d.line(now, b, record{Event: "retry", Attempt: s.state.attempt, Wait: seconds(s.state.wait), Error: s.state.cause})
	}
	switch n := s.state; {
	case n.failed != "":
		d.line(now, b, record{Event: "failed", Error: n.failed})
	case n.skipped != "":
		d.line(now, b, record{Event: "skipped", Reason: n.skipped})
	case n.over:
		d.line(now, b, record{Event: "done"})
	case s.begun && s.count != s.lastAt && (final || now.Sub(s.last) >= jsonEvery):
		s.last, s.lastAt = now, s.count
		d.line(now, b, record{Event: "progress"})
	}
}

func (d *jsonLines) line(now time.Time, b *Bar, r record) {
	if d.dead {
		return
	}
	s := &b.view
	r.Tool, r.ID, r.Name, r.Done, r.Total, r.Rate = d.tool, b.id, b.name, s.count, s.total, int64(s.rate)
	if left := s.left(); left >= 0 && !s.state.over {
		r.Left = seconds(left)
	}
	r.Elapsed = *seconds(s.elapsed(now))
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // a record of our own
	}
	line = line[:len(line)-1]
	for i := 0; i+1 < len(b.attrs); i += 2 {
		line = append(append(append(line, ','), quoted(b.attrs[i])...), ':')
		line = append(line, quoted(b.attrs[i+1])...)
	}
	d.dead = !put(d.out, append(line, "}\n"...))
}

func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

// seconds are rounded to thousandths.
func seconds(d time.Duration) *float64 {
	f := math.Round(d.Seconds()*1000) / 1000
	return &f
}
