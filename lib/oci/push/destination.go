package push

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/names"
)

// destination is where an image goes.
type destination struct {
	ref    name.Reference
	tags   []string
	digest digest.Digest // that the image must have; "" is any
}

var errNotFile = errors.New("images are pushed to a registry: want [REGISTRY/]NAME[:TAG]")

// Check returns an error if ref is not where images can be pushed, if one of tags is no tag,
// or one of mounts no repository.
func Check(ref string, tags, mounts []string) error {
	if _, err := parse(ref, tags); err != nil {
		return err
	}
	for _, m := range mounts {
		if _, err := repositoryOf(m); err != nil {
			return fmt.Errorf("%q is not the name of a repository: want [REGISTRY/]NAME", names.WithoutPassword(m))
		}
	}
	return nil
}

func parse(s string, tags []string) (destination, error) {
	d := destination{}
	bare := strings.TrimPrefix(s, "docker://")
	if s == "-" || oci.IsLocal(s) || strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return d, fmt.Errorf("%s: %w", s, errNotFile)
	}
	rest, id, byDigest := strings.Cut(bare, "@")
	if byDigest {
		d.digest = digest.Digest(id)
		if err := d.digest.Validate(); err != nil {
			return d, fmt.Errorf("%q: %w", names.WithoutPassword(s), err)
		}
	}
	ref, err := name.ParseReference(rest)
	if err != nil {
		return d, fmt.Errorf("%q is not the name of an image: want [REGISTRY/]NAME[:TAG]", names.WithoutPassword(s))
	}
	d.ref = ref
	tag := ref.Identifier()
	if err := names.CheckTag(tag); err != nil {
		return d, fmt.Errorf("%q: %w", s, err)
	}
	if strings.HasSuffix(rest, ":"+tag) || len(tags) == 0 && !byDigest {
		d.tags = append(d.tags, tag)
	}
	for _, t := range tags {
		if err := names.CheckTag(t); err != nil {
			return d, err
		}
		if !slices.Contains(d.tags, t) {
			d.tags = append(d.tags, t)
		}
	}
	return d, nil
}

// repository returns the full name of the repository.
func (d destination) repository() string {
	return strings.TrimSuffix(names.Full(d.ref), ":"+d.ref.Identifier())
}
