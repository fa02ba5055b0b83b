package names

import (
	"strings"
	"testing"
)

func TestCheckTag(t *testing.T) {
	for s, ok := range map[string]bool{
		"latest": true, "v1.2-rc_3": true, "_a": true, "A": true, strings.Repeat("a", 128): true,
		"": false, "A B": false, ".a": false, "-a": false, "a:b": false, "a/b": false, "a+b": false, "ä": false, "a\n": false, strings.Repeat("a", 129): false,
	} {
		if err := CheckTag(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestCheckRefName(t *testing.T) {
	for s, ok := range map[string]bool{
		"latest": true, "v1": true, "a:b": true, "docker.io/x/y:1": true, "a@b": true, "a+b": true, "a--b": true, "a/b": true, "Ab.C-d_e": true,
		"sha256:abc": true, "localhost:5000/a/b:c": true, strings.Repeat("a", 200): true,
		"": false, "A B": false, "-a": false, ".a": false, "_a": false, "a/": false, "/a": false, "a//b": false, "a..b": false, "a---b": false, "a-": false,
		"a,b": false, "a=b": false, "a#b": false, "@a": false, "ä": false, "a\n": false, "a\x00": false,
		"a@sha256:" + strings.Repeat("a", 64): false, "a@b:c": false,
	} {
		if err := CheckRefName(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRepoTag(t *testing.T) {
	for s, want := range map[string]string{
		"me/app": "me/app:latest", "me/app:v2": "me/app:v2", "localhost:5000/a": "localhost:5000/a:latest", "app:latest": "app:latest", "a__b/c-d.e:_": "a__b/c-d.e:_",
		"": "", "X": "", "a b": "", "me//app": "", "me/app/": "", "/x": "", "./x": "", "../x": "", "a-": "", "a:.b": "", "a:-b": "", "a:": "", "a@sha256:" + strings.Repeat("a", 64): "",
		"a___b": "", "docker://a": "", "oci:dir:tag": "", "a:" + strings.Repeat("a", 129): "",
	} {
		got, err := RepoTag(s)
		if want == "" && err == nil || want != "" && (err != nil || got != want) {
			t.Errorf("%q is %q (%v), want %q", s, got, err, want)
		}
	}
	if err := CheckRefName("https://me:secret@localhost/r"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password: %v", err)
	}
	if _, err := RepoTag("https://me:secret@localhost/r"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password: %v", err)
	}
}
