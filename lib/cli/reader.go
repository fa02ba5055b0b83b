package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// Expect announces that standard output will be written, if path names it; Stream and
// Image call it. From now on the process ends when its reader goes away, as SIGPIPE
// would end it at the next write, whatever the tool is waiting for.
func (e *Env) Expect(path string) {
	if isStandard(path) && e.process {
		e.watched.Do(func() { e.watchReader() })
	}
}

// noteLastWrite notes that the last write to standard output comes next: the reader may
// leave as soon as it has that.
func (e *Env) noteLastWrite() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastWrite = true
}

// keepPipe makes a write to a standard output without a reader fail, instead of ending
// the process. The caller must call dieOfPipe on EPIPE.
func keepPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// dieOfPipe takes bars from the terminal, and ends the process as a write to a standard
// output without a reader does, unless SIGPIPE is ignored.
func (e *Env) dieOfPipe() {
	if !e.process {
		return
	}
	e.progress.finish(false, signalDraw)
	signal.Reset(syscall.SIGPIPE)
	dieByPipe(e.Stdout)
}
