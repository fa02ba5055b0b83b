package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
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
		if file, err = duplicate(file); err != nil {
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
	case term == "" || term == "dumb":
		return "plain"
	}
	return "tty"
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

// checkDescriptor returns an error unless the parent process has left descriptor n open for
// writing.
func checkDescriptor(n int) error {
	var st unix.Stat_t
	if n < 0 || unix.Fstat(n, &st) != nil {
		return errors.New("is not open")
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFREG:
	default:
		return errors.New("is not a file, a pipe, a socket or a terminal") // perhaps one of the runtime's own
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
		return errors.New("is not open for writing")
	}
	return nil
}

// openDescriptor duplicates descriptor n, which the parent process has left open for
// writing.
func openDescriptor(n int) (*os.File, error) {
	if err := checkDescriptor(n); err != nil {
		return nil, err
	}
	if n == 1 {
		return nil, fmt.Errorf("is standard output, which carries the data")
	}
	fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", n)), nil
}

// duplicate returns f under another descriptor, which is 3 or higher.
func duplicate(f *os.File) (*os.File, error) {
	fd := -1
	err := control(f, func(orig int) (err error) {
		fd, err = unix.FcntlInt(uintptr(orig), unix.F_DUPFD_CLOEXEC, 3)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
