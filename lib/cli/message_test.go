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
	"testing"

	"ocipipe/lib/tree"
)

// TestLongPath has a path of 4 KB in a message: both its ends are shown, and of text no
// half characters.
func TestLongPath(t *testing.T) {
	for lead := range 2 {
		path := strings.Repeat("x", lead) + strings.Repeat("é", 2000) + "y"
		got := oneLine("read " + path + ": is a directory")
		want := "read " + strings.Repeat("x", lead) + strings.Repeat("é", 100-lead) + "[...]" + strings.Repeat("é", 99) + "y: is a directory"
		if got != want {
			t.Errorf("lead %d: %q, want %q", lead, got, want)
		}
	}
	if s := strings.Repeat("x", wordLimit); oneLine(s) != s {
		t.Errorf("a word that fits is shortened")
	}
	for range oneLine(strings.Repeat("\x80", 10000)) { // no text, and no end of it
	}
}

// TestFileErrors has what package os says of files, in the words of the messages.
func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	errOf := func(_ any, err error) error { return err }
	for _, c := range []struct {
		err  error
		want string
	}{
		{errOf(os.Open(dir + "/none")), dir + "/none: open: no such file or directory"},
		{errOf(os.Open(dir + "/no/ne")), dir + "/no/ne: directory " + dir + "/no: no such file or directory"},
		{errOf(os.Stat(dir + "/none")), dir + "/none: no such file or directory"},
		{errOf(os.Lstat(file + "/a/b")), file + "/a/b: " + file + " is not a directory"},
		{errOf(os.ReadDir(file)), file + ": not a directory"},
		{errOf(os.ReadFile(dir)), dir + ": is a directory"},
		{fmt.Errorf("a: byte 5: %w", io.ErrUnexpectedEOF), "a: byte 5: end of the data reached"},
		{errors.New("unexpected EOF: open: it is a name"), "unexpected EOF: open: it is a name"},
		{&fs.PathError{Op: "mkdirat", Path: "x", Err: syscall.EROFS}, "x: mkdir: read-only file system"},
		{fmt.Errorf("make spool file: %w", errOf(os.Open(dir+"/none"))), "make spool file: " + dir + "/none: open: no such file or directory"},
	} {
		e := newEnv("probe", Streams{os.Stdin, os.Stdout, os.Stderr})
		if got := e.message(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}

func TestAbout(t *testing.T) {
	plain := errors.New("layer is cut short")
	for _, c := range []struct {
		path string
		err  error
		want string
	}{
		{"a.tar", plain, "a.tar: layer is cut short"},
		{"-", plain, "layer is cut short"},
		{"", plain, "layer is cut short"},
		{"a.tar", fmt.Errorf("a.tar: %w", plain), "a.tar: layer is cut short"},
		{"a.tar", &fs.PathError{Op: "write", Path: "out", Err: fs.ErrPermission}, "write out: permission denied"},
		{"a.tar", Usage("no"), "no"},
	} {
		if got := About(c.path, c.err); got.Error() != c.want || !errors.Is(got, c.err) && c.err != errors.Unwrap(got) {
			t.Errorf("About(%q, %v) = %v", c.path, c.err, got)
		}
	}
	if About("a.tar", nil) != nil {
		t.Error("no error became one")
	}
}

// TestCopyNamesInput checks that the reader downstream gets the name of the input too.
func TestCopyNamesInput(t *testing.T) {
	var out strings.Builder
	err := newEnv("probe", Streams{os.Stdin, os.Stdout, os.Stderr}).Copy("a.tar", tree.NewWriter(&out, tree.WriterOptions{Data: tree.Inline, Stage: "probe"}), broken{})
	if err == nil || err.Error() != "read a.tar: input/output error" {
		t.Errorf("error %v", err)
	}
	r, err := tree.NewReader(strings.NewReader(out.String()), tree.ReaderOptions{})
	if err == nil {
		_, err = r.Next()
	}
	if err == nil || err.Error() != "earlier stage failed: probe: a.tar: read: input/output error" {
		t.Errorf("downstream: %v", err)
	}
}

// broken is a source that fails.
type broken struct{}

func (broken) Next() (*tree.Entry, error) {
	return nil, &fs.PathError{Op: "read", Path: "a.tar", Err: syscall.EIO}
}
func (broken) Close() error { return nil }
