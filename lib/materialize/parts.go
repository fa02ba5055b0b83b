package materialize

import (
	"context"
	"errors"
	"math"
	"sync"

	"golang.org/x/sync/errgroup"

	"ocipipe/lib/cas"
	"ocipipe/lib/osfile"
)

// parts runs the parts of some work at the same time. They have numbers, so that an image
// that is wrong in several places has one error: that of the lowest part. A failure ends
// only the parts above it.
type parts struct {
	group errgroup.Group

	mu     sync.Mutex
	failed int // the lowest part that has failed; -1 for an error that is not about a part
	err    error
	ends   map[int]context.CancelFunc // of parts that are running
}

// newParts returns parts of which at most limit run at a time.
func newParts(limit int) *parts {
	p := &parts{failed: math.MaxInt, ends: map[int]context.CancelFunc{}}
	p.group.SetLimit(limit)
	return p
}

// start runs a part. It waits while as many run as may.
func (p *parts) start(ctx context.Context, part int, work func(ctx context.Context) error) {
	p.group.Go(func() error {
		ctx, end := p.begin(ctx, part)
		defer end()
		if ctx.Err() == nil {
			p.fail(part, work(ctx))
		}
		return nil
	})
}

// wait waits for all parts, and returns the error of the lowest that has failed.
func (p *parts) wait(ctx context.Context) error {
	p.group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.err
}

// begin returns the context for the work on a part, and what ends it.
func (p *parts) begin(ctx context.Context, part int) (context.Context, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	p.ends[part] = cancel
	if part > p.failed {
		cancel()
	}
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.ends, part)
		cancel()
	}
}

// fail notes the error of a part, unless it is nil.
func (p *parts) fail(part int, err error) {
	if isLocal(err) {
		part = -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil || part >= p.failed {
		return
	}
	p.failed, p.err = part, err
	for n, cancel := range p.ends {
		if n > part {
			cancel()
		}
	}
}

// isLocal reports whether err is about the place where artifacts go, and not about an image.
func isLocal(err error) bool {
	return errors.Is(err, cas.ErrStore) || osfile.IsFull(err)
}
