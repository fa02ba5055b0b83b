package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ocipipe/lib/compression"
	"ocipipe/lib/magic"
	"ocipipe/lib/tree"
)

// limited is a tool with the flags of limits and forms; do uses them.
type limited struct {
	TreeForm
	Limits
	do func(*limited) error
}

func (l *limited) Run(*Env) error { return l.do(l) }

// runLimited runs do with the flags args and returns what is said.
func runLimited(t *testing.T, do func(*limited) error, args ...string) string {
	t.Helper()
	said := must(t)(os.Create(filepath.Join(t.TempDir(), "stderr")))
	defer said.Close()
	null := must(t)(os.OpenFile(os.DevNull, os.O_RDWR, 0))
	defer null.Close()
	Run(Manual{Name: "probe"}, &limited{do: do}, args, Streams{null, null, said})
	b, err := os.ReadFile(said.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func must(t *testing.T) func(*os.File, error) *os.File {
	return func(f *os.File, err error) *os.File {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// TestLimitFlags compares the defaults of the flags with those of the library, and has 0
// stand for no limit.
func TestLimitFlags(t *testing.T) {
	check := func(want tree.Limits, holes int64) func(*limited) error {
		return func(l *limited) error {
			if got := l.Limits.Tree(); got != want {
				t.Errorf("limits %+v, want %+v", got, want)
			}
			if opts, err := l.TreeForm.Options("probe"); err != nil || opts.MaxHoles != holes {
				t.Errorf("%d bytes of holes, want %d; %v", opts.MaxHoles, holes, err)
			}
			return nil
		}
	}
	none := tree.Limits{Entries: -1, Depth: -1, FileSize: -1, TotalSize: -1, XattrBytes: -1, TreeMemory: -1}
	zeros := strings.Fields("--max-entries=0 --max-depth=0 --max-file-size=0 --max-total-size=0 --max-xattr-bytes=0 --max-tree-memory=0 --max-digest-holes=0")
	said := runLimited(t, check(tree.DefaultLimits(), tree.DefaultMaxHoles)) + runLimited(t, check(none, -1), zeros...)
	if said != "" {
		t.Error(said)
	}
}

// TestSharedAdvice has the hints that every tool gives, unless it knows better.
func TestSharedAdvice(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&tree.LimitError{Which: tree.LimitDepth}, "--max-depth raises the limit"},
		{fmt.Errorf("a: %w", &tree.LimitError{Which: tree.LimitHoleBytes}), "--max-hole-bytes raises the limit"},
		{&compression.Error{Name: "xz", Unpacker: "xz -dc"}, "xz -dc FILE unpacks it"},
		{fmt.Errorf("a: %w", tree.ErrForeign), "tar2tree makes a tree stream of layers and images, erofs2tree of EROFS images"},
		{tree.ErrCorrupt, ""},
		{tree.ErrNoContents, "make the stream without --no-data"},
		{foreign(magic.Tree, magic.Tar), "tar2tree FILE makes a tree stream of it"},
		{foreign(magic.Tree, magic.Compressed("gzip")), "tar2tree makes a tree stream of layers and images, compressed or not; gzip -dc FILE unpacks it"},
		{foreign(magic.EROFS, magic.Compressed("xz")), "xz -dc FILE unpacks it"},
		{foreign(magic.EROFS, magic.Tree), "tree2erofs makes an EROFS image of it"},
		{foreign(magic.Tar, magic.QCOW2), "qemu-img convert -O raw FILE NEW makes a raw disk of it"},
		{foreign(magic.Tar, magic.Text), ""},
		{&fs.PathError{Op: "read", Path: "d", Err: syscall.EISDIR}, "tar -C DIR -c . | tar2tree makes a tree stream of a directory, tar2tree DIR of an OCI layout"},
		{&fs.PathError{Op: "open", Path: "out", Err: syscall.EISDIR}, ""},
		{Hint(tree.ErrForeign, "better"), "better"},
	} {
		said := runLimited(t, func(*limited) error { return c.err })
		_, hint, _ := strings.Cut(said, "probe: hint: ")
		if strings.TrimSpace(hint) != c.want {
			t.Errorf("%v: hint %q, want %q", c.err, hint, c.want)
		}
	}
}

func foreign(want, is magic.Kind) error {
	return fmt.Errorf("a: %w", &magic.Error{Want: want, Is: is, Err: tree.ErrForeign})
}

// TestTreeForm has the forms of a stream by their flags.
func TestTreeForm(t *testing.T) {
	for args, want := range map[string]string{
		"": "inline", "--no-data": "none", "--no-data=portable": "portable", "--no-data --digest": "none, digest",
		"--digest": "--digest needs --no-data", "--no-data=x": "--no-data=x: the forms are --no-data and --no-data=portable",
	} {
		var have string
		said := runLimited(t, func(l *limited) error {
			opts, err := l.TreeForm.Options("probe")
			have = map[tree.Data]string{tree.Inline: "inline", tree.None: "none", tree.NonePortable: "portable"}[opts.Data]
			if opts.Digest {
				have += ", digest"
			}
			if opts.Stage != "probe" {
				t.Errorf("stage %q", opts.Stage)
			}
			return err
		}, strings.Fields(args)...)
		if said != "" {
			have = strings.TrimPrefix(strings.TrimSpace(said), "probe: ")
		}
		if have != want {
			t.Errorf("%q: %s, want %s", args, have, want)
		}
	}
}
