package cli

import (
	"context"
	"errors"
)

// guard is a task that a signal waits for.
type guard struct {
	env  *Env
	name string
	stop context.CancelCauseFunc
	done chan struct{}
	err  error
}

var errStopped = errors.New("stopped")

// Guard runs change, which changes the file called name in place. A signal that ends the
// process first cancels the context of change, waits until change has returned, and prints
// its error, or that it was completed all the same. change must not wait for anything but
// its own work.
func (e *Env) Guard(name string, change func(ctx context.Context) error) error {
	ctx, stop := context.WithCancelCause(e.Context)
	defer stop(nil)
	g := &guard{env: e, name: name, stop: stop, done: make(chan struct{})}
	e.addOutput(g)
	g.err = change(ctx)
	close(g.done)
	return g.err
}

// Abort stops the task.
func (g *guard) Abort() {
	g.stop(errStopped)
	<-g.done
	if g.err != nil {
		g.env.say("", g.env.message(g.err))
	} else {
		g.env.say("", g.name+": completed before it could be stopped")
	}
}

func (g *guard) pending() string {
	select {
	case <-g.done:
		return ""
	default:
		return g.name
	}
}

func (g *guard) flush() {}
