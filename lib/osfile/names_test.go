package osfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestVolume has the names that filepath.VolumeName finds on Windows.
func TestVolume(t *testing.T) {
	for _, c := range []struct {
		path, name string
		want       int
	}{
		{`C:\dir:tag`, `C:`, 2},
		{`c:/dir:tag`, `c:`, 2},
		{`C:dir:tag`, `C:`, 0},
		{`C:`, `C:`, 0},
		{`\\?\C:\dir:tag`, `\\?\C:`, 6},
		{`\\server\share\dir:tag`, `\\server\share`, 14},
		{`dir:tag`, ``, 0},
		{`/dir:tag`, ``, 0},
	} {
		if n := volume(c.path, c.name); n != c.want {
			t.Errorf("%s: %d bytes, want %d", c.path, n, c.want)
		}
	}
	if n := Volume("/dir:tag"); n != 0 {
		t.Errorf("a path of this system: %d bytes", n)
	}
}

func TestFold(t *testing.T) {
	for name, want := range map[string]string{"Root.EROFS": "root.erofs", "a. .": "a", "a.b": "a.b", "\u00c4": "\u00e4"} {
		if have := fold(name); have != want {
			t.Errorf("%q: %q, want %q", name, have, want)
		}
	}
}

func TestPersist(t *testing.T) {
	passing, lasting := errors.New("passing"), errors.New("lasting")
	for _, c := range []struct {
		name string
		errs []error
		want error
	}{
		{"at once", []error{nil}, nil},
		{"at last", []error{passing, passing, nil}, nil},
		{"another reason", []error{passing, lasting}, lasting},
	} {
		calls := 0
		err := persist(func() error {
			calls++
			return c.errs[calls-1]
		}, func(err error) bool { return err == passing })
		if err != c.want || calls != len(c.errs) {
			t.Errorf("%s: %v after %d calls, want %v after %d", c.name, err, calls, c.want, len(c.errs))
		}
	}
}

// TestRenameToOpen renames a file that is open to the name of another one, which is open too,
// and read-only.
func TestRenameToOpen(t *testing.T) {
	dir := t.TempDir()
	create(t, filepath.Join(dir, "new"), "new")
	create(t, filepath.Join(dir, "old"), "old")
	if err := os.Chmod(filepath.Join(dir, "old"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := Rename(dir, "new", "old"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "old")); string(b) != "new" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := Rename(dir, "new", "old"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
