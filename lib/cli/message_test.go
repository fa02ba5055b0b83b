package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
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
	err := newEnv("probe", Streams{}).Copy("a.tar", tree.NewWriter(&out, tree.WriterOptions{Data: tree.Inline, Stage: "probe"}), broken{})
	if err == nil || err.Error() != "a.tar: gone" {
		t.Errorf("error %v", err)
	}
	r, err := tree.NewReader(strings.NewReader(out.String()), tree.ReaderOptions{})
	if err == nil {
		_, err = r.Next()
	}
	if err == nil || err.Error() != "earlier stage failed: probe: a.tar: gone" {
		t.Errorf("downstream: %v", err)
	}
}

// broken is a source that fails.
type broken struct{}

func (broken) Next() (*tree.Entry, error) { return nil, errors.New("gone") }
func (broken) Close() error               { return nil }
