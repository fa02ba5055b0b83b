package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"ocipipe/lib/osfile"
)

// progressFlags are in every tool.
type progressFlags struct {
	Progress   string `group:"Other" enum:"auto,tty,plain,json,none" default:"auto" placeholder:"FORM" help:"Progress: auto, tty, plain, json, none."`
	ProgressFD *int   `group:"Other" name:"progress-fd" placeholder:"N" help:"Show progress on file descriptor N."`
}

const (
	barsEvery  = 100 * time.Millisecond
	linesEvery = 200 * time.Millisecond
)

// showProgress opens the display that the flags ask for.
func (e *Env) showProgress(flags progressFlags) error {
	out, own := e.stderr, flags.ProgressFD != nil
	if own {
		file, err := openDescriptor(*flags.ProgressFD)
		if err != nil {
			return Usage("--progress-fd %d: %v", *flags.ProgressFD, err)
		}
		out = file
	}
	form, every := flags.Progress, linesEvery
	if form == "auto" {
		form = autoForm(showsOnTerminal(out), own, e.Quiet)
	}
	switch form {
	case "none":
		return nil
	case "tty":
		every = barsEvery
	}
	d, err := e.openDisplay(form, out, own)
	if err != nil {
		return err
	}
	p := newProgress(d, every)
	p.isAuto = flags.Progress == "auto" && form != "json"
	e.mu.Lock() // a signal may come
	defer e.mu.Unlock()
	e.progress = p
	return nil
}

// openDisplay makes a display that writes to out: to a descriptor for progress alone if
// own, else to standard error.
func (e *Env) openDisplay(form string, out io.Writer, own bool) (display, error) {
	file, isFile := out.(*os.File)
	if isFile && !own {
		// A descriptor of its own: a reader that goes away must not end the process.
		var err error
		if file, err = osfile.Duplicate(file); err != nil {
			return nil, fmt.Errorf("standard error: %w", err)
		}
		out = file
	}
	if !own {
		out = lockedWriter{&e.sayMu, out}
	}
	switch {
	case form == "plain":
		return &plain{tool: e.name, out: out}, nil
	case form == "json":
		return &jsonLines{tool: e.name, out: out}, nil
	case !isFile:
		return nil, Usage("--progress=tty: standard error is no file")
	}
	keepPipe()
	d := &bars{tty: file}
	if !own || showsOnTerminal(e.stderr) {
		d.stderr = e.stderr
	}
	return d, nil
}

func showsOnTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}

// autoForm returns the form of --progress=auto.
func autoForm(terminal, descriptor, quiet bool) string {
	term := os.Getenv("TERM")
	switch {
	case !terminal && descriptor:
		return "json"
	case !terminal || quiet && !descriptor:
		return "none"
	case term == "" || term == "dumb" || !isAttended():
		return "plain"
	}
	return "tty"
}

// isAttended reports whether the process has a controlling terminal. Where it has none and
// writes to a terminal all the same, that is the log of a build system, Nix for example.
func isAttended() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	return !errors.Is(err, syscall.ENXIO) // without a /dev/tty nobody can tell
}

// lockedWriter holds mu while it writes, so that lines do not mix.
type lockedWriter struct {
	mu *sync.Mutex
	io.Writer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Writer.Write(b)
}
