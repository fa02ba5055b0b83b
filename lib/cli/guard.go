package cli

import "sync"

// guard is a task that a signal waits for.
type guard struct {
	env  *Env
	name string
	stop chan struct{}
	done chan struct{}
	once sync.Once
	err  error
}

// Guard runs do, which changes name in place. A signal that ends the process closes
// stop, waits until do has returned, and says what came of it: nil that it was
// completed all the same. do must not wait for anything but its own work.
func (e *Env) Guard(name string, do func(stop <-chan struct{}) error) error {
	g := &guard{env: e, name: name, stop: make(chan struct{}), done: make(chan struct{})}
	e.addOutput(g)
	g.err = do(g.stop)
	close(g.done)
	return g.err
}

// Abort stops the task.
func (g *guard) Abort() {
	g.once.Do(func() { close(g.stop) })
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
