package osfile

import "testing"

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
