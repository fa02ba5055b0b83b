package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"ocipipe/lib/tree"
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

// About is err with the name of the input that it is about, unless it names a file
// already: path of the command line, where "" and "-" are a standard input that needs
// no name.
func About(path string, err error) error {
	if err == nil || isStandard(path) || errors.As(err, new(*fs.PathError)) || errors.As(err, new(*usageError)) ||
		strings.HasPrefix(err.Error(), path+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// Only returns the path of the only input, or "" if there are several: errors about these
// have their names already.
func Only(paths []string) string {
	if len(paths) != 1 {
		return ""
	}
	return paths[0]
}

// Copy is [tree.Copy] of the input called path: the errors are About it, those too that
// dst hands on to its reader.
func (e *Env) Copy(path string, dst tree.Sink, src tree.Source) error {
	return About(path, tree.Copy(e.Context, &aboutInput{dst, path}, src))
}

// aboutInput is a sink that is told which input it is whose copying failed.
type aboutInput struct {
	tree.Sink
	path string
}

func (s *aboutInput) Abort(cause error) { s.Sink.Abort(About(s.path, cause)) }

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
	if hint := hintOf(err); hint != "" {
		e.say("hint: ", hint)
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

// hintOf is the hint of the outermost error that has one, or "".
func hintOf(err error) string {
	var h interface{ Hint() string }
	if !errors.As(err, &h) {
		return ""
	}
	return h.Hint()
}

// closedPipe reports whether err says that standard output has lost its reader.
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
	path, op := pe.Path, pe.Op
	switch path {
	case e.Stdin.Name():
		path = stdinName
	case e.Stdout.Name():
		path = stdoutName
	default:
		if dir := filepath.Dir(path); errors.Is(pe.Err, fs.ErrNotExist) && missing(dir) {
			op = "directory " + dir
		}
	}
	what := op + ": " + pe.Err.Error()
	if !strings.HasPrefix(text, path+": ") { // which names it already
		what = path + ": " + what
	}
	return strings.Replace(text, pe.Error(), what, 1)
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
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

// How many bytes of a message are shown, and of a word in it, such as a path: half of
// them from the end, where the cause and the name are. A message may quote foreign data,
// as package net/http quotes a malformed response.
const (
	messageLimit = 2 << 10
	wordLimit    = 400
)

// oneLine makes of msg, which may quote a hostile name, one line of bounded length
// that a terminal shows as it is: neither obeys, nor turns around as Unicode can
// have it.
func oneLine(msg string) string {
	words := strings.Split(strings.ReplaceAll(strings.TrimSpace(msg), "\n", "; "), " ")
	for i, w := range words {
		words[i] = shorten(w, "[...]", wordLimit)
	}
	msg = shorten(strings.Join(words, " "), " [...] ", messageLimit)
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

// shorten is s with mark in place of its middle, if it is longer than limit.
func shorten(s, mark string, limit int) string {
	if len(s) <= limit {
		return s
	}
	head, tail := limit/2, len(s)-limit/2
	for range utf8.UTFMax { // not half a character, where it is text
		if !utf8.RuneStart(s[head]) {
			head--
		}
		if !utf8.RuneStart(s[tail]) {
			tail++
		}
	}
	return s[:head] + mark + s[tail:]
}
