package tree

import (
	"context"
	"errors"
	"io/fs"
	"sync"
)

// MergeAll reads n layers with read, numbered from 0 at the bottom, and applies them
// to an empty flat tree. It calls read for up to jobs layers at a time. It begins to read
// layers in order, and applies them strictly in order.
//
// After a layer has failed, MergeAll begins to read no other layer. It stops the layers
// above: their context works is done. The layers below go on, so that MergeAll can return
// the failure of the lowest layer. But they must not wait for input any more: after any
// failure the context waits is done. An error of read that follows from that
// (io/fs.ErrClosed, or the cause of a context) does not count as a failure of its layer.
//
// MergeAll returns after the last call of read has returned. If a layer failed, it returns
// the error and the number of that layer; if ctx is done, the cause of ctx and -1.
func MergeAll(ctx context.Context, n, jobs int, read func(waits, works context.Context, layer int) (*Tree, error)) (merged *Tree, failed int, err error) {
	m := merging{read: read, slots: make(chan struct{}, jobs), layers: make([]mergingLayer, n), failed: n}
	m.waits, m.hurry = context.WithCancelCause(ctx)
	defer m.hurry(nil)
	for i := range m.layers {
		l := &m.layers[i]
		l.works, l.stop = context.WithCancelCause(ctx)
		defer l.stop(nil)
		l.tree = make(chan *Tree, 1)
	}
	m.runs.Go(m.begin)
	merged = m.apply()
	m.runs.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, -1, context.Cause(ctx)
	case m.err != nil:
		return nil, m.failed, m.err
	}
	return merged, 0, nil
}

// merging is a call of MergeAll.
type merging struct {
	read   func(waits, works context.Context, layer int) (*Tree, error)
	waits  context.Context
	hurry  context.CancelCauseFunc // ends waits
	slots  chan struct{}
	layers []mergingLayer
	runs   sync.WaitGroup

	mu     sync.Mutex
	failed int // the lowest layer that has failed, not counting those that were stopped
	err    error
}

type mergingLayer struct {
	works context.Context
	stop  context.CancelCauseFunc // ends works
	tree  chan *Tree              // closed if the layer gives no tree
}

var errStopped = errors.New("stopped, as another layer has failed")

// begin reads the layers as slots become free.
func (m *merging) begin() {
	for i, l := range m.layers {
		select {
		case m.slots <- struct{}{}:
		case <-m.waits.Done():
		}
		if m.waits.Err() != nil {
			close(l.tree)
			continue
		}
		m.runs.Go(func() {
			if t, err := m.read(m.waits, l.works, i); err != nil {
				m.fail(i, err)
				close(l.tree)
			} else {
				l.tree <- t
			}
			<-m.slots
		})
	}
}

func (m *merging) fail(i int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	interrupted := m.waits.Err() != nil && (errors.Is(err, errStopped) || errors.Is(err, fs.ErrClosed) || errors.Is(err, context.Canceled))
	if i < m.failed && !interrupted {
		m.failed, m.err = i, err
	}
	m.hurry(errStopped)
	for _, l := range m.layers[i+1:] {
		l.stop(errStopped)
	}
}

// apply applies the layers to an empty tree in order, until one fails.
func (m *merging) apply() *Tree {
	merged := NewFlat()
	for i, l := range m.layers {
		t, ok := <-l.tree
		if !ok {
			break
		}
		if err := merged.Apply(t); err != nil {
			m.fail(i, err)
			break
		}
	}
	return merged
}
