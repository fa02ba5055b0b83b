package oci

import (
	"strings"
	"testing"
)

func TestSplitLayout(t *testing.T) {
	t.Chdir(t.TempDir())
	for s, want := range map[string][2]string{
		"dir": {"dir", ""}, "dir:v1": {"dir", "v1"}, "a/dir:x/y:v1": {"a/dir", "x/y:v1"}, "dir@x": {"dir@x", ""}, "./oci:v1": {"./oci", "v1"}, "oci:v1": {"oci", "v1"}, "oci": {"oci", ""},
	} {
		if dir, tag, err := SplitLayout(s); err != nil || dir != want[0] || tag != want[1] {
			t.Errorf("%s: directory %q, tag %q, %v", s, dir, tag, err)
		}
	}
	for s, want := range map[string]string{
		"":                                      "names no directory",
		":v1":                                   "names no directory",
		"dir@sha256:abc":                        "an image gets a tag, and has its digest",
		"dir@sha256:" + strings.Repeat("a", 64): "an image gets a tag, and has its digest",
	} {
		if _, _, err := SplitLayout(s); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", s, err, want)
		}
	}
}
