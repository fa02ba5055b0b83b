package oci

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/osfile"
)

var fileSchemes = []string{"oci:", "oci-archive:", "docker-archive:"}

// IsLocal reports whether ref names an image in a file or directory, in a form that Open
// takes. All other references are names in a registry.
func IsLocal(ref string) bool {
	return slices.ContainsFunc(fileSchemes, func(s string) bool { return strings.HasPrefix(ref, s) })
}

// IsStdin reports whether ref names an image in the file -, which is standard input for a tool.
func IsStdin(ref string) bool {
	path, _, err := splitRef(ref)
	return err == nil && path == "-"
}

// selector chooses one image of several.
type selector struct {
	tag    string
	digest digest.Digest
}

var atDigest = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(.*)@([a-z0-9+._-]+:[0-9a-zA-Z]+)$`)
})

// splitPath splits PATH[:TAG|@DIGEST]. If s exists as a path, there is no tag. Otherwise
// the path is the shortest one that exists; if none does, it ends before the first colon. The
// drive of a path on Windows has a colon that ends neither.
func splitPath(s string) (string, selector, error) { return splitBehind(s, osfile.Volume(s)) }

// splitBehind is splitPath of s, whose first bytes, drive in number, name a drive.
func splitBehind(s string, drive int) (string, selector, error) {
	if m := atDigest().FindStringSubmatch(s); m != nil && !exists(s) {
		d := digest.Digest(m[2])
		return m[1], selector{digest: d}, checkDigest(d)
	}
	first, tag, found := strings.Cut(s[drive:], ":")
	if !found || exists(s) {
		return s, selector{}, nil
	}
	for i, c := range s {
		if c == ':' && i >= drive && exists(s[:i]) {
			return s[:i], selector{tag: s[i+1:]}, nil
		}
	}
	return s[:drive] + first, selector{tag: tag}, nil
}

// SplitLayout splits DIR[:TAG], a layout that need not exist, as Open does with oci:DIR:TAG. A
// digest cannot be in place of the tag.
func SplitLayout(s string) (dir, tag string, err error) {
	dir, sel, err := splitPath(s)
	switch {
	case sel.digest != "":
		return "", "", errors.New("an image gets a tag, and has its digest")
	case err != nil:
		return "", "", err
	case dir == "":
		return "", "", errors.New("names no directory")
	}
	return dir, sel.tag, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// AtPath returns the reference by which Open opens the file or layout at s,
// PATH[:TAG|@DIGEST]. It returns "" if there is neither.
func AtPath(s string) string {
	path, _, err := splitPath(s)
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return ""
	case info.Mode().IsRegular():
		return "oci-archive:" + s
	case exists(filepath.Join(path, layout.Index)):
		return "oci:" + s
	}
	return ""
}

// Reference returns the reference that the user may have meant by s, which is not the path
// of a file: one to an image in a layout or archive that exists, or one to an image in a
// registry. It returns "" if s can be neither.
func Reference(s string) string {
	for _, scheme := range fileSchemes {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			if AtPath(rest) == "" {
				return ""
			}
			return s
		}
	}
	if ref := AtPath(s); ref != "" {
		return ref
	}
	if _, err := name.ParseReference(strings.TrimPrefix(s, "docker://")); err != nil {
		return ""
	}
	return s
}
