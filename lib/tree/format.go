package tree

import (
	"errors"
	"fmt"
	"strings"
)

// The words of the stream; FORMAT.md has the grammar.
const (
	firstWords  = "#mtree ocipipe-tree 1 data="
	propPrefix  = "#:"
	endPrefix   = "#end "
	abortPrefix = "#abort message="
	xattrPrefix = "xattr."
	extraPrefix = "x-"
	digestWord  = "sha256digest"
)

// Limits that belong to the format.
const (
	MaxLine      = 1 << 20 // bytes of a line, its LF included
	MaxPath      = 4095    // bytes of a path or a link's target; the limit of Linux
	MaxName      = 255     // bytes of one component, or of an xattr's name
	MaxValue     = 65535   // bytes of an xattr's value
	MaxTargets   = 16      // paths in layers below for one name; with separators they fit into an xattr
	maxExtentLen = 512 << 10
	maxProps     = 100
	maxAbort     = 1 << 10 // bytes of the abort line's message
	abortPart    = 120     // bytes that are kept of either end of a longer message; an escape takes four
	abortWindow  = 4 << 10 // bytes at the end of the input in which a reader looks for the abort line
)

// ErrCorrupt is wrapped by every error about the form of a stream.
var ErrCorrupt = errors.New("not a valid tree stream")

// Data says what a stream carries of the files' contents.
type Data int

const (
	Inline       Data = iota // contents follow their records
	None                     // no contents: mtree(5) in gomtree's spelling, with all keywords
	NonePortable             // no contents: mtree(5) that bsdtar and NetBSD's mtree read
)

// Property is a note in a stream about its origin. Nothing trusts it.
type Property struct {
	Key, Value string
}

var typeNames = [...]string{
	File: "file", Dir: "dir", Link: "link", Char: "char", Block: "block", Fifo: "fifo", Socket: "socket",
}

// String is the word that the stream has for t.
func (t Type) String() string {
	if int(t) < len(typeNames) && t != 0 {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// plain has true for each byte that stands for itself in a line.
var plain = func() (t [256]bool) {
	for c := 0x21; c <= 0x7e; c++ {
		t[c] = true
	}
	for _, c := range []byte(`\#*?[=`) {
		t[c] = false
	}
	return
}()

// appendEscaped appends s in the form of names in a stream: every byte that is not plain is
// written as \ooo.
func appendEscaped(b []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plain[c] {
			continue
		}
		b = append(b, s[from:i]...)
		b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		from = i + 1
	}
	return append(b, s[from:]...)
}

// escapedLen is how many bytes appendEscaped appends for s.
func escapedLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if !plain[s[i]] {
			n += len(`ooo`)
		}
	}
	return n
}

// unescape is the inverse of appendEscaped. It accepts \ooo for any byte but NUL, also for
// plain ones, and refuses every other escape and raw bytes that are not plain.
func unescape(b []byte) (string, error) {
	n := plainLen(b)
	if n == len(b) {
		return string(b), nil
	}
	out := make([]byte, 0, len(b))
	for {
		out = append(out, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			return string(out), nil
		}
		if b[0] != '\\' {
			return "", fmt.Errorf("byte 0x%02x must be written \\%03o", b[0], b[0])
		}
		if !isOctal(b) {
			return "", fmt.Errorf("escape %q is not \\001 to \\377", b[:min(4, len(b))])
		}
		out = append(out, (b[1]&7)<<6|(b[2]&7)<<3|b[3]&7)
		b = b[4:]
		n = plainLen(b)
	}
}

// plainLen is how many plain bytes b begins with.
func plainLen(b []byte) int {
	for i, c := range b {
		if !plain[c] {
			return i
		}
	}
	return len(b)
}

// isOctal reports whether b begins with an escape \001 to \377.
func isOctal(b []byte) bool {
	return len(b) >= 4 && b[1] >= '0' && b[1] <= '3' && b[2]&^7 == '0' && b[3]&^7 == '0' &&
		(b[1] != '0' || b[2] != '0' || b[3] != '0')
}

// CheckPath returns an error unless path is "." or a clean relative path within
// the limits of the stream: components of 1 to 255 bytes that are not "." or
// "..", no NUL, 4095 bytes at most.
func CheckPath(path string) error {
	if path == "." {
		return nil
	}
	if len(path) > MaxPath {
		return fmt.Errorf("path of %d bytes, over %d", len(path), MaxPath)
	}
	if strings.IndexByte(path, 0) >= 0 {
		return errors.New("NUL in path")
	}
	begin := 0
	for i := 0; i <= len(path); i++ { // no strings.Cut: names may be short and many
		if i < len(path) && path[i] != '/' {
			continue
		}
		switch name := path[begin:i]; {
		case name == "" || name == "." || name == "..":
			return fmt.Errorf("path component %q", name)
		case len(name) > MaxName:
			return fmt.Errorf("path component of %d bytes, over %d", len(name), MaxName)
		}
		begin = i + 1
	}
	return nil
}
