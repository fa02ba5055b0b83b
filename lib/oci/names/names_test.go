package names

import (
	"strings"
	"testing"
)

func TestWithoutPassword(t *testing.T) {
	for name, want := range map[string]string{
		"me:secret@localhost/r":                "me:xxxxx@localhost/r",
		"https://me:se:c@ret@localhost:1/r:v1": "https://me:xxxxx@localhost:1/r:v1",
		"docker://me:secret@localhost/a/b":     "docker://me:xxxxx@localhost/a/b",
		"https://me:secret@localhost:5000":     "https://me:xxxxx@localhost:5000",
		"https://me:sec/ret@localhost/r":       "https://me:xxxxx@localhost/r",
		"me:secret@localhost:5000":             "me:xxxxx@localhost:5000",
		"me:sec/ret@localhost/r":               "me:xxxxx@localhost/r",
		"me:secret@localhost/r:3@sha256:12":    "me:xxxxx@localhost/r:3@sha256:12",
		"https://localhost:5000/r@sha256:12":   "https://localhost:5000/r@sha256:12",
		"localhost:5000/r@sha256":              "localhost:5000/r@sha256",
		"localhost:5000/r@":                    "localhost:5000/r@",
		"//me:secret@localhost/r":              "//me:xxxxx@localhost/r",
		"me@localhost/r":                       "me@localhost/r",
		"alpine:3@sha256:12":                   "alpine:3@sha256:12",
		"localhost:5000/a/b:3@sha256:12":       "localhost:5000/a/b:3@sha256:12",
		"":                                     "",
	} {
		if got := WithoutPassword(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

func TestComplete(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for word, want := range map[string]string{
		"alpine":                "docker.io/library/alpine:latest",
		"alpine:3.20":           "docker.io/library/alpine:3.20",
		"docker://alpine":       "docker.io/library/alpine:latest",
		"me/app":                "docker.io/me/app:latest",
		"localhost:5000/a:b":    "localhost:5000/a:b",
		"ghcr.io/x/y@" + digest: "ghcr.io/x/y@" + digest,
		"index.docker.io/a/b":   "docker.io/a/b:latest",
		digest:                  "docker.io/library/" + digest, // as far as a name goes
		"":                      "",
		"sha256:":               "",
		"A b":                   "",
		"oci:dir:tag":           "",
	} {
		if got := Complete(word); got != want {
			t.Errorf("%q is %q, want %q", word, got, want)
		}
	}
}
