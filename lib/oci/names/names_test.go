package names

import (
	"strings"
	"testing"
)

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
