package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Usage is an error in how the tool was called: exit code 2.
func Usage(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

type usageError struct{ text, hint string }

func (u *usageError) Error() string { return u.text }
func (u *usageError) Hint() string  { return u.hint }

// Hint adds advice to err, best the next command to try. The outermost hint of
// an error is the one that is printed.
func Hint(err error, hint string) error {
	return &hintError{err, hint}
}

type hintError struct {
	error
	hint string
}

func (h *hintError) Unwrap() error { return h.error }
func (h *hintError) Hint() string  { return h.hint }

// Warn prints "tool: warning: msg" unless --quiet was given. It may be called
// from any goroutine, and passed to libraries as their callback.
func (e *Env) Warn(msg string) {
	if !e.Quiet {
		e.say("warning: ", msg)
	}
}

// report prints err and returns the exit code that it means.
func (e *Env) report(err error) int {
	switch {
	case err == nil:
		return exitOK
	case e.closedPipe(err):
		return exitPipe
	}
	e.say("", e.message(err))
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		e.say("hint: ", h.Hint())
	}
	var u *usageError
	switch {
	case errors.As(err, &u):
		return exitUsage
	case temporary(err):
		return exitTemporary
	}
	return exitFailed
}

// closedPipe reports whether err says that nobody reads standard output.
func (e *Env) closedPipe(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe) && pe.Path == e.Stdout.Name() && pe.Err == syscall.EPIPE
}

// temporary asks the first error in the chain that knows. A bare errno would
// call an exhausted descriptor table temporary, which no retry cures.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	if !errors.As(err, &t) {
		return false
	}
	_, errno := t.(syscall.Errno)
	return !errno && t.Temporary()
}

// message is the text of err with what package os says of a file turned into
// the order of all messages: where, what, cause.
func (e *Env) message(err error) string {
	text := err.Error()
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		return text
	}
	path := pe.Path
	switch path {
	case e.Stdin.Name():
		path = stdinName
	case e.Stdout.Name():
		path = stdoutName
	}
	return strings.Replace(text, pe.Error(), path+": "+pe.Op+": "+pe.Err.Error(), 1)
}

func (e *Env) say(kind, msg string) {
	line := fmt.Appendf(nil, "%s: %s%s\n", e.name, kind, oneLine(msg))
	if e.progress.say(line) {
		return
	}
	e.sayMu.Lock()
	defer e.sayMu.Unlock()
	e.stderr.Write(line)
}

// messageLimit is how much of a message is shown, half of it from the end, where the
// cause is: it may quote a stranger, as package http quotes an answer that is none.
const messageLimit = 4 << 10

// oneLine makes of msg, which may quote a hostile name, one line of bounded length
// that a terminal shows as it is: neither obeys, nor turns around as Unicode can
// have it.
func oneLine(msg string) string {
	msg = strings.ReplaceAll(strings.TrimSpace(msg), "\n", "; ")
	if len(msg) > messageLimit {
		msg = msg[:messageLimit/2] + " [...] " + msg[len(msg)-messageLimit/2:]
	}
	var b strings.Builder
	for len(msg) > 0 {
		r, n := utf8.DecodeRuneInString(msg)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			for _, c := range []byte(msg[:n]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		} else {
			b.WriteString(msg[:n])
		}
		msg = msg[n:]
	}
	return b.String()
}
