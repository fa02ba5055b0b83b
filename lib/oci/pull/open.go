package pull

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/names"
	"ocipipe/lib/platform"
)

// Image is an image from a registry, or one in a file. Closing it ends its downloads; the
// bytes that have arrived stay in the cache.
type Image struct {
	*oci.Image

	remote *remote       // nil for an image in a file without a name
	file   *oci.Image    // in a file, whose blobs are kept under a name; else nil
	top    digest.Digest // of the index that it is from; "" without one
}

// Open opens the image that ref names. It is one in a file, in a form of [oci.Open], or
//
//	[docker://][REGISTRY/]NAME[:TAG|@DIGEST]
//
// which is a name in a registry, by default Docker Hub. With Options.As an image in a file
// is kept in the cache under that name, as if it came from a registry.
//
// The end of ctx ends the opening, not the image; see the package comment. An error about
// the reference is a [*ReferenceError].
func Open(ctx context.Context, ref string, opts Options) (*Image, error) {
	if oci.IsLocal(ref) {
		return openLocal(ctx, ref, opts)
	}
	ref = strings.TrimPrefix(ref, "docker://")
	img, err := openNamed(ctx, ref, opts)
	if err == nil {
		return img, nil
	}
	var about *ReferenceError
	switch file := oci.AtPath(ref); {
	case errors.As(err, &about):
		about.File = file
	case file != "":
		err = &ReferenceError{Ref: ref, Err: err, File: file}
	}
	return nil, err
}

// openLocal opens an image in a file and, if it is to have a name in the cache, puts the
// cache before it.
func openLocal(ctx context.Context, ref string, opts Options) (*Image, error) {
	name := ""
	if opts.As != "" {
		as, err := parseName(opts.As)
		if err == nil && isPath(opts.As) {
			err = fmt.Errorf("%q is not the name of an image: want [REGISTRY/]NAME[:TAG]", opts.As)
		}
		if err != nil {
			return nil, err
		}
		if strings.Contains(opts.As, "@") { // it would not be what the name says
			return nil, fmt.Errorf("%q: an image in a file gets a name with a tag, not with a digest", opts.As)
		}
		name = names.Full(as)
	}
	img, err := oci.Open(ctx, ref, opts.Image)
	if err != nil {
		return nil, err
	}
	if name == "" || opts.Cache == nil {
		return &Image{Image: img}, nil
	}
	if opts.Policy == Never { // the file is at hand
		opts.Policy = IfMissing
	}
	r := behindCache(ctx, name, local{img}, opts)
	kept, err := r.load(ctx, manifest.Descriptor{MediaType: types.MediaType(img.MediaType), Digest: img.Digest, Size: int64(len(img.Manifest))}, img.Manifest)
	if err != nil {
		r.Close()
		return nil, err
	}
	kept.Name, kept.Tag, kept.Listed = img.Name, img.Tag, img.Listed
	kept.file = img
	return kept, nil
}

// Drain is that of the image in the file.
func (img *Image) Drain(ctx context.Context) error {
	if img.file != nil {
		return img.file.Drain(ctx)
	}
	return img.Image.Drain(ctx)
}

// Ref returns what the cache lists the image as, if it has a name there.
func (img *Image) Ref() (ref cas.Ref, ok bool) {
	if img.remote == nil {
		return cas.Ref{}, false
	}
	return cas.Ref{
		Name: img.remote.name, MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(img.Manifest)),
		Platform: img.Listed, Top: img.top,
	}, true
}

// openNamed opens the image that s names in a registry.
func openNamed(ctx context.Context, s string, opts Options) (*Image, error) {
	if s == "-" {
		return nil, errors.New("-: not the name of an image: write oci-archive:- for standard input")
	}
	if isPath(s) {
		return nil, fmt.Errorf("%s: not the name of an image: write oci:DIR, oci-archive:FILE or docker-archive:FILE for a file", s)
	}
	ref, err := parseName(s)
	if err != nil {
		return nil, err
	}
	img, err := pull(ctx, ref, opts)
	if err == nil {
		return img, nil
	}
	err = fmt.Errorf("%s: %w", s, err)
	if tag, ok := ref.(name.Tag); ok && errors.Is(err, oci.ErrNotFound) && !strings.HasSuffix(s, ":"+tag.TagStr()) {
		err = &ReferenceError{Ref: s, Err: err, DefaultTag: tag.TagStr()}
	}
	return nil, err
}

// isPath reports whether s, a reference, is the path of a file rather than a name, whatever
// else it could mean.
func isPath(s string) bool { return strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") || s == "-" }

// parseName reads the name of an image in a registry.
func parseName(s string) (name.Reference, error) {
	bare := s
	if _, rest, isURL := strings.Cut(s, "://"); isURL {
		bare = rest
	} else if ref, err := name.ParseReference(s); err == nil {
		return ref, nil
	}
	err := fmt.Errorf("%q is not the name of an image", names.WithoutPassword(s))
	lower := lowerName(bare)
	if _, perr := name.ParseReference(lower); lower == s || perr != nil {
		return nil, fmt.Errorf("%w: want [REGISTRY/]NAME[:TAG|@DIGEST]", err)
	}
	if bare == s {
		err = fmt.Errorf("%w: names have no capitals", err)
	}
	return nil, &ReferenceError{Ref: s, Err: err, Lower: lower}
}

func pull(ctx context.Context, ref name.Reference, opts Options) (*Image, error) {
	if _, err := platform.Parse(opts.Image.Platform); err != nil { // before any request
		return nil, err
	}
	r, err := newRemote(ctx, ref, opts)
	if err != nil {
		return nil, err
	}
	img, err := r.image(ctx, ref)
	if err != nil {
		r.Close()
		return nil, r.blame(err)
	}
	img.Name = ref.String()
	return img, nil
}
