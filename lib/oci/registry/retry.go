package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The waits between attempts double from minWait to maxWait, each varied by up
// to half of it so that clients which failed together do not come back together.
const (
	minWait = 500 * time.Millisecond
	maxWait = 30 * time.Second
)

// longestWait is the longest wait that a server may ask for; more is a failure.
const longestWait = 5 * time.Minute

// Retry is an attempt that follows a failed one.
type Retry struct {
	Attempt int // 1 is the first after a failure
	Wait    time.Duration
	Err     error // of the failed attempt
}

// attempts counts failures and waits between them.
type attempts struct {
	c      *Client
	notify func(Retry) // may be nil
	failed int
	got    int64 // bytes since the last failure
}

// progressBytes is how many bytes must have arrived for the count of failures to begin
// anew.
const progressBytes = 16 << 10

// progress notes that n more bytes have arrived. The count of failures may begin anew.
func (a *attempts) progress(n int) {
	if a.got += int64(n); a.got >= progressBytes {
		a.failed = 0
	}
}

// again waits until the next attempt is due and returns nil. If there is to be no other
// attempt it returns err, explained.
func (a *attempts) again(ctx context.Context, err error) error {
	err = explain(ctx, err)
	if ctx.Err() != nil || !Temporary(err) || a.failed >= a.c.retries {
		return err
	}
	a.failed++
	a.got = 0
	wait := backoff(a.failed)
	var e *Error
	if errors.As(err, &e) && e.After > 0 {
		if e.After > longestWait {
			return fmt.Errorf("asks to wait %s: %w", e.After.Round(time.Second), err)
		}
		wait = e.After
	}
	if a.notify != nil {
		a.notify(Retry{Attempt: a.failed, Wait: wait, Err: err})
	}
	if !a.c.sleep(ctx, wait) {
		return context.Cause(ctx)
	}
	return nil
}

// retry calls op until it succeeds, fails for good, or has failed too often.
func (c *Client) retry(ctx context.Context, notify func(Retry), op func() error) error {
	a := attempts{c: c, notify: notify}
	for {
		err := op()
		if err == nil {
			return nil
		}
		if err := a.again(ctx, err); err != nil {
			return err
		}
	}
}

// backoff returns the wait before attempt n.
func backoff(n int) time.Duration {
	wait := maxWait
	if n < 8 {
		wait = min(minWait<<(n-1), maxWait)
	}
	return wait/2 + rand.N(wait/2+1)
}

// retryAfter parses the header Retry-After: seconds, or a date, which is compared with the
// server's own date.
func retryAfter(h http.Header, now func() time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	date, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		from = now()
	}
	return max(0, date.Sub(from))
}

// sleep waits for d. It reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
