package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Streams are the standard streams of a tool.
type Streams struct {
	Stdin, Stdout *os.File
	Stderr        io.Writer
}

// Env gives a running tool its streams, its outputs, its messages and its progress display.
type Env struct {
	// Context ends when Run has returned.
	Context context.Context

	Stdin, Stdout *os.File // for Open, Stream and Image; data goes through those

	Command string // the name of the command, for a tool that has commands

	Epoch *int64 // SOURCE_DATE_EPOCH, seconds since 1970; nil if unset
	Quiet bool   // --quiet: Warn says nothing

	noSync bool // --no-sync

	name   string
	cancel context.CancelFunc

	sayMu  sync.Mutex
	stderr io.Writer

	progress *Progress
	report   reporting

	process bool      // the tool runs in Main, so the process ends with it
	watched sync.Once // see Expect

	mu        sync.Mutex // never released by what ends the process
	ended     bool
	lastWrite bool // see noteLastWrite
	inputs    []source
	targets   []*target
	outputs   []output
	depfile   *depfile // nil without --depfile
}

// output is a Stream or an Image.
type output interface {
	Abort()
	flush()          // writes what is buffered, for the reader of a failed stream
	pending() string // its name, or "" once it was committed or aborted
}

func newEnv(name string, s Streams) *Env {
	e := &Env{name: name, Stdin: s.Stdin, Stdout: s.Stdout, stderr: s.Stderr, progress: newProgress(nil, 0)}
	e.report.started = time.Now()
	e.Context, e.cancel = context.WithCancel(context.Background())
	return e
}

// end aborts outputs that Run left open, and returns the name of one of them. succeeded
// says that Run returned nil. If a signal is about to end the process, end does not return.
func (e *Env) end(succeeded bool) (open string) {
	e.cancel()
	e.noteLastWrite()
	for _, o := range e.outputs {
		if o.pending() != "" {
			o.flush() // may wait for the reader; a signal need not wait, since e.mu is free
		}
	}
	e.progress.finish(succeeded, lastDraw)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	return e.abortAll()
}

// abortAll aborts the outputs that are pending, and returns the name of one of them. The
// caller holds e.mu.
func (e *Env) abortAll() (open string) {
	for _, o := range e.outputs {
		if name := o.pending(); name != "" {
			open = name
			o.Abort()
		}
	}
	return open
}

// catchSignals aborts unfinished outputs when a signal ends the process. Signals that were
// ignored at the start (nohup, "&" in a script) stay ignored, except SIGTERM, for which the
// runtime does not tell. SIGPIPE is left to the runtime, which dies of it on a write to
// standard output; see Expect.
func (e *Env) catchSignals() {
	e.process = true
	c := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
	go func() {
		sig := (<-c).(syscall.Signal)
		e.mu.Lock() // not released: from now on no error is reported and no output begins
		if !e.ended {
			e.abortAll()
			e.progress.finish(false, signalDraw)
		}
		die(sig)
	}()
}
