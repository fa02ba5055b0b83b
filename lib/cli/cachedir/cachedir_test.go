package cachedir

import "testing"

// TestBase: the default is below the home, and nowhere without one.
func TestBase(t *testing.T) {
	for _, c := range []struct{ xdg, home, want string }{
		{"/x", "/h", "/x"}, {"relative", "/h", "/h/.cache"}, {"", "/h", "/h/.cache"}, {"", "", ""},
	} {
		t.Setenv("XDG_CACHE_HOME", c.xdg)
		t.Setenv("HOME", c.home)
		if got := Base(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
