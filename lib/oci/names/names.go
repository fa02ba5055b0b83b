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
