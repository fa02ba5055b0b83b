package names

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
)

// The grammars of tags and repositories are those of the distribution specification. That of
// names in a layout is the one which the image specification has for
// org.opencontainers.image.ref.name, and which skopeo and umoci take.
var (
	tagGrammar        = grammar(`[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`)
	repositoryGrammar = grammar(`[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`)
	refNameGrammar    = grammar(`[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*(/[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*)*`)
	digestAtEnd       = grammar(`.*@[a-z0-9+._-]+:[0-9a-zA-Z]+`)
)

func grammar(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(` + expr + `)$`) })
}

// CheckTag returns an error if s is not a tag of a registry.
func CheckTag(s string) error {
	if !tagGrammar().MatchString(s) {
		return fmt.Errorf("%.150q is not a tag: want at most 128 letters, digits, _, . and -, the first not . or -", s)
	}
	return nil
}

// CheckRefName returns an error if an image in a layout, or in an OCI archive, cannot be named s
// by those who read it. s may be a tag or a full name.
func CheckRefName(s string) error {
	if !refNameGrammar().MatchString(s) {
		return fmt.Errorf("%.150q cannot name an image: want letters and digits, between them single characters of -._:@+/", WithoutPassword(s))
	}
	if digestAtEnd().MatchString(s) {
		return fmt.Errorf("%.150q cannot name an image: what follows the @ is a digest, and not a part of a name", s)
	}
	return nil
}

// Tagged returns the name [REGISTRY/]NAME[:TAG] that an image is to get. Its tag is latest if s
// has none.
func Tagged(s string) (name.Tag, error) {
	tag, err := name.NewTag(s)
	if err != nil || strings.HasPrefix(s, ".") || !repositoryGrammar().MatchString(tag.RepositoryStr()) || CheckTag(tag.TagStr()) != nil {
		return name.Tag{}, fmt.Errorf("%.150q is not the name of an image: want [REGISTRY/]NAME[:TAG]", WithoutPassword(s))
	}
	return tag, nil
}

// RepoTag returns the name that docker gives an image called s: NAME:TAG, with the tag latest
// if s has none.
func RepoTag(s string) (string, error) {
	tag, err := Tagged(s)
	if err == nil && !strings.HasSuffix(s, ":"+tag.TagStr()) {
		s += ":" + tag.TagStr()
	}
	return s, err
}
