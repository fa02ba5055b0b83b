package conn

import (
	"context"
	"errors"
	"io"
	"net/http/httptrace"
	"sync"
	"time"
)

var errSilent = errors.New("silent")

type patienceKey struct{}

// Patiently returns a context in which Send waits for an answer as long as d, if that is
// longer than Options.Timeout.
func Patiently(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// sending watches a request until its answer begins. Its clock runs while the other side has
// to take bytes of the body, and after the last one.
type sending struct {
	timeout, patience time.Duration
	cancel            context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func newSending(ctx context.Context, timeout time.Duration, cancel context.CancelCauseFunc) *sending {
	s := &sending{timeout: timeout, patience: timeout, cancel: cancel}
	if d, ok := ctx.Value(patienceKey{}).(time.Duration); ok {
		s.patience = max(d, timeout)
	}
	return s
}

// trace makes the clock run for the answer once the whole request was sent.
func (s *sending) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err == nil {
			s.start(s.patience, errSilent)
		}
	}})
}

// start lets the clock run anew.
func (s *sending) start(d time.Duration, cause error) {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.timer = time.AfterFunc(d, func() { s.cancel(cause) })
	}
}

func (s *sending) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// answered ends the watch.
func (s *sending) answered() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.stop()
}

// watchedBody is the body of a request that is sent.
type watchedBody struct {
	io.ReadCloser
	s *sending
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.s.stop()
	n, err := b.ReadCloser.Read(p)
	b.s.start(b.s.timeout, errStalled)
	return n, err
}
