package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

var errStalled = errors.New("stalled")

// watched is a body whose Read fails if nothing comes for the time of timeout.
type watched struct {
	io.ReadCloser
	timeout time.Duration
	timer   *time.Timer
	stalled atomic.Bool
	cancel  context.CancelCauseFunc
}

func newWatched(body io.ReadCloser, timeout time.Duration, cancel context.CancelCauseFunc) *watched {
	w := &watched{ReadCloser: body, timeout: timeout, cancel: cancel}
	w.timer = time.AfterFunc(timeout, func() {
		w.stalled.Store(true)
		cancel(errStalled)
	})
	w.timer.Stop()
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.timeout)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case w.stalled.Load():
		return n, fmt.Errorf("connection stalled: nothing came for %s", w.timeout)
	}
	return n, fmt.Errorf("connection broke off: %w", Plain(err))
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.ReadCloser.Close()
}
