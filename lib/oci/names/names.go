// Package names knows the full form of names of images in registries.
package names

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Full returns ref with registry and tag; Docker Hub is docker.io.
func Full(ref name.Reference) string {
	return strings.Replace(ref.Name(), name.DefaultRegistry+"/", "docker.io/", 1)
}

// Complete returns the full form of a name as users write it, or "" for what is no name.
func Complete(word string) string {
	ref, err := name.ParseReference(strings.TrimPrefix(word, "docker://"))
	if err != nil {
		return ""
	}
	return Full(ref)
}

// WithoutPassword returns word, which was given as the name of an image, as messages may show it:
// with "xxxxx" in place of a password where a URL has one, or where one is likely. No name has any.
func WithoutPassword(word string) string {
	scheme, rest := "", word
	if _, after, isURL := strings.Cut(word, "//"); isURL {
		scheme, rest = strings.TrimSuffix(word, after), after
	}
	end := strings.LastIndexByte(rest, '@')
	if end >= 0 && strings.HasPrefix(rest[end:], "@sha") && !strings.Contains(rest[end:], "/") { // a digest
		end = strings.LastIndexByte(rest[:end], '@')
	}
	user, more, _ := strings.Cut(rest[:max(end, 0)], ":")
	port, _, hasPort := strings.Cut(more, "/")
	if more == "" || strings.Contains(user, "/") || hasPort && strings.Trim(port, "0123456789") == "" {
		return word
	}
	return scheme + user + ":xxxxx" + rest[end:]
}
