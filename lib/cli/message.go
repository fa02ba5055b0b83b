package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"ocipipe/lib/tree"
)

// Usage returns an error about how the tool was called: exit code 2.
func Usage(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

type usageError struct{ text, hint string }

func (u *usageError) Error() string { return u.text }
func (u *usageError) Hint() string  { return u.hint }

// Hint adds advice to err, preferably the command to try next. Of several hints of an error
// the outermost is printed.
func Hint(err error, hint string) error {
	return &hintError{err, hint}
}

type hintError struct {
	error
	hint string
}

func (h *hintError) Unwrap() error { return h.error }
func (h *hintError) Hint() string  { return h.hint }

// About adds the name of an input to err. path is the input as the command line has it; ""
// and "-" are standard input, which needs no name. An error that names a file already stays
// as it is.
func About(path string, err error) error {
	if err == nil || isStandard(path) || errors.As(err, new(*fs.PathError)) || errors.As(err, new(*usageError)) ||
		strings.HasPrefix(err.Error(), path+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// Only returns the path of the only input. If there are several it returns "": errors about
// them have their names already.
func Only(paths []string) string {
	if len(paths) != 1 {
		return ""
	}
	return paths[0]
}

// Copy is [tree.Copy] of the input called path. It names the input, as About does, both in
// its error and in the one that dst passes on to its reader.
func (e *Env) Copy(path string, dst tree.Sink, src tree.Source) error {
	if e.Reports() && e.report.result.Counts == nil {
		dst = counting{dst, e.Counts()}
	}
	return About(path, tree.Copy(e.Context, &aboutInput{dst, e, path}, src))
}

// counting is a sink that counts the entries that it gets.
type counting struct {
	tree.Sink
	counts *tree.Counts
}

func (s counting) Add(entry *tree.Entry) error {
	s.counts.Add(entry)
	return s.Sink.Add(entry)
}

// aboutInput is a sink that passes on the cause of an Abort as it is printed, with the name of
// the input.
type aboutInput struct {
	tree.Sink
	env  *Env
	path string
}

func (s *aboutInput) Abort(cause error) {
	cause = About(s.path, cause)
	s.Sink.Abort(&printedError{s.env.message(cause), cause})
}

// printedError is an error with the text that is printed.
type printedError struct {
	text string
	err  error
}

func (p *printedError) Error() string { return p.text }
func (p *printedError) Unwrap() error { return p.err }

// Warn prints "tool: warning: msg" unless --quiet was given. It may be called
// from any goroutine, and passed to libraries as their callback.
func (e *Env) Warn(msg string) {
	e.report.warnings.Add(1)
	if !e.Quiet {
		e.say("warning: ", msg)
	}
}

// exitCode prints err and returns the exit code that it means.
func (e *Env) exitCode(err error) int {
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

// hintOf returns the hint of the outermost error that has one, or "".
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
	return errors.As(err, &pe) && pe.Path == e.Stdout.Name() && isBrokenPipe(pe.Err)
}

// temporary asks the first error in the chain that has a method Temporary, except an errno,
// which would call an exhausted descriptor table temporary. No retry cures that.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	if !errors.As(err, &t) {
		return false
	}
	_, errno := t.(syscall.Errno)
	return !errno && t.Temporary()
}

// Text returns the text of err as it would be printed, for a warning.
func (e *Env) Text(err error) string { return e.message(err) }

// message returns the text of err. It puts what package os says of a file into the order of
// all messages: where, what, cause.
func (e *Env) message(err error) string {
	text := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		text = strings.ReplaceAll(text, io.ErrUnexpectedEOF.Error(), "end of the data reached")
	}
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		return text
	}
	path := pe.Path
	what := causeOf(pe)
	switch path {
	case e.Stdin.Name():
		path = stdinName
	case e.Stdout.Name():
		path = stdoutName
	}
	if !strings.HasPrefix(text, path+": ") { // text does not begin with the path
		what = path + ": " + what
	}
	return strings.Replace(text, pe.Error(), what, 1)
}

// causeOf returns what failed and why. What fails for what the file is needs no name of the
// system call.
func causeOf(pe *fs.PathError) string {
	cause := pe.Err.Error()
	switch {
	case errors.Is(pe.Err, fs.ErrNotExist) && missing(filepath.Dir(pe.Path)):
		return "directory " + filepath.Dir(pe.Path) + ": " + cause
	case errors.Is(pe.Err, syscall.EISDIR):
		return cause
	case errors.Is(pe.Err, syscall.ENOTDIR):
		if dir := firstFile(filepath.Dir(pe.Path)); dir != "" {
			return dir + " is not a directory"
		}
		return cause
	}
	op, known := systemCalls[pe.Op]
	if !known {
		op = pe.Op + ": "
	}
	return op + cause
}

// systemCalls are operations of package os, and what they are called in messages. One that only
// asks whether a file is there is left out.
var systemCalls = map[string]string{
	"stat": "", "lstat": "", "fstat": "", "fstatat": "",
	"openat": "open: ", "mkdirat": "mkdir: ", "unlinkat": "remove: ", "renameat": "rename: ",
	"readdirent": "list: ", "fdopendir": "list: ", "getdents": "list: ",
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// firstFile returns path, or the directory above it, that exists and is no directory, or "".
func firstFile(path string) string {
	for {
		info, err := os.Stat(path)
		switch dir := filepath.Dir(path); {
		case err == nil && !info.IsDir():
			return path
		case err == nil, dir == path:
			return ""
		default:
			path = dir
		}
	}
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

// The bytes that are shown of a message, and of a word in it, such as a path. Half of them
// come from the end, where the cause and the name are. A message may quote foreign data,
// as package net/http quotes a malformed response.
const (
	messageLimit = 2 << 10
	wordLimit    = 400
)

// oneLine turns msg, which may quote a hostile name, into one line of bounded length. It
// escapes every character that a terminal would obey, or that would change the direction of
// the text.
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

// shorten returns s. If s is longer than limit bytes, mark replaces its middle.
func shorten(s, mark string, limit int) string {
	if len(s) <= limit {
		return s
	}
	head, tail := limit/2, len(s)-limit/2
	for range utf8.UTFMax { // do not cut a character in half
		if !utf8.RuneStart(s[head]) {
			head--
		}
		if !utf8.RuneStart(s[tail]) {
			tail++
		}
	}
	return s[:head] + mark + s[tail:]
}
