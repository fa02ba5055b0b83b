package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	fake "ocipipe/lib/reftest/registry"
)

// TestRetryAfter: the header in both forms.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"7", "", 7 * time.Second},
		{" 0 ", "", 0},
		{"-5", "", 0},
		{"", "", 0},
		{"soon", "", 0},
		{"99999999999999999999", "", 0},
		{in(9 * time.Second), "", 9 * time.Second},
		{in(-9 * time.Second), "", 0},
		{in(9 * time.Second), in(4 * time.Second), 5 * time.Second}, // a clock that is wrong
		{in(9 * time.Second), "yesterday", 9 * time.Second},
	} {
		h := http.Header{}
		h.Set("Retry-After", c.after)
		h.Set("Date", c.date)
		if got := retryAfter(h, func() time.Time { return now }); got != c.want {
			t.Errorf("%q, now %q: %s, want %s", c.after, c.date, got, c.want)
		}
	}
}

// TestWaits: how long a client waits, how often it tries, and what it says then.
func TestWaits(t *testing.T) {
	for _, c := range []struct {
		name    string
		rule    fake.Rule
		retries int
		waits   int // how many; -1: none, the error is final
		each    time.Duration
		says    string
	}{
		{"seconds", fake.Rule{Status: 429, RetryAfter: "3", Times: 2}, 5, 2, 3 * time.Second, ""},
		{"date", fake.Rule{Status: 503, RetryAfter: "date:90s", Times: 1}, 5, 1, 90 * time.Second, ""},
		{"five times", fake.Rule{Status: 500}, 0, 5, 0, "HTTP 500"},
		{"as often as asked", fake.Rule{Status: 502}, 2, 2, 0, "HTTP 502"},
		{"never", fake.Rule{Status: 408}, -1, 0, 0, "HTTP 408"},
		{"for too long", fake.Rule{Status: 429, RetryAfter: "7200", Code: "TOOMANYREQUESTS", Message: "slow down"}, 5, 0, 0, "asks to wait 2h0m0s: registry: TOOMANYREQUESTS: slow down (HTTP 429)"},
		{"dropped", fake.Rule{Break: "drop"}, 3, 3, 0, "connection"},
		{"not implemented", fake.Rule{Status: 501}, 5, -1, 0, "HTTP 501"},
		{"gone", fake.Rule{Status: 410}, 5, -1, 0, "HTTP 410"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rule.Match = "/manifests/"
			s := start(t, fake.Config{}, fake.Behaviour{})
			s.AddImage("r", "v1", data(10))
			if c.name == "dropped" { // the first attempt would be one by TLS
				c.rule.Match = "GET registry /v2/r/manifests/"
			}
			s.Behave(fake.Behaviour{Rules: []fake.Rule{c.rule}})
			r, w := open(t, s.Host, Options{Retries: c.retries})
			var told []Retry
			_, err := r.Manifest(ctx, "v1", 1<<20, func(x Retry) { told = append(told, x) })
			if len(w.list) != max(c.waits, 0) || len(told) != len(w.list) {
				t.Errorf("%d waits, %d told, want %d", len(w.list), len(told), c.waits)
			}
			for i, d := range w.list {
				lowest, most := minWait<<i/2, minWait<<i
				if c.each > 0 {
					lowest, most = c.each-2*time.Second, c.each
				}
				if d < lowest || d > most || told[i].Wait != d || told[i].Attempt != i+1 || told[i].Err == nil {
					t.Errorf("wait %d is %s, told %+v", i, d, told[i])
				}
			}
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || Temporary(err) != (c.waits >= 0)):
				t.Errorf("%v (temporary %v), want %q", err, Temporary(err), c.says)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	seen := map[time.Duration]bool{}
	for n := 1; n < 100; n++ {
		most := maxWait
		if n < 7 {
			most = minWait << (n - 1)
		}
		d := backoff(n)
		seen[d] = true
		if d < most/2 || d > most {
			t.Errorf("attempt %d waits %s", n, d)
		}
	}
	if len(seen) < 20 {
		t.Errorf("no jitter: %s", fmt.Sprint(seen))
	}
}
