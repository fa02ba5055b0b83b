package oci

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
)

// legacyName is the list of images in archives of docker save before docker 1.10, and
// later beside manifest.json.
const legacyName = "repositories"

// files is a directory or an archive.
type files interface {
	// open returns the content of a file and its size. The error is ErrNotFound if
	// the file does not exist.
	open(ctx context.Context, name string) (io.ReadCloser, int64, error)
}

// layoutBlobs finds the blobs of an OCI image layout among files.
type layoutBlobs struct{ files }

func (l layoutBlobs) Manifest(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error) {
	r, _, err := l.open(ctx, layout.BlobName(d.Digest))
	return r, err
}

func (l layoutBlobs) Config(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error) {
	return l.Manifest(ctx, d)
}

func (l layoutBlobs) Layer(ctx context.Context, _ int, d manifest.Descriptor) (io.ReadCloser, error) {
	r, size, err := l.open(ctx, layout.BlobName(d.Digest))
	if err != nil {
		return nil, err
	}
	return verifySized(r, size, d)
}

// dir is a layout directory.
type dir struct {
	path  string
	reads func(path string) error // Options.Reads
}

func (d dir) open(_ context.Context, name string) (io.ReadCloser, int64, error) {
	path := filepath.Join(d.path, filepath.FromSlash(name))
	f, size, err := openRegular(path)
	if err != nil {
		return nil, 0, err
	}
	if d.reads != nil {
		if err := d.reads(path); err != nil {
			f.Close()
			return nil, 0, err
		}
	}
	return f, size, nil
}

// openRegular opens a regular file, through links. It refuses other files, since opening a
// named pipe might wait for ever.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil, 0, fmt.Errorf("%s: %w", path, ErrNotFound)
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s: %w: not a regular file", path, ErrCorrupt)
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}

// openLayout opens the image that sel names, or the only one, of the layout f.
func openLayout(ctx context.Context, f files, sel selector, opts Options) (*Image, error) {
	l, err := newLoader(layoutBlobs{f}, opts)
	if err != nil {
		return nil, err
	}
	if sel.digest != "" {
		return l.load(ctx, manifest.Descriptor{Digest: sel.digest, Size: -1})
	}
	index, err := readIndex(ctx, f, opts)
	if err != nil {
		return nil, err
	}
	list, err := pick(index.Manifests, sel.tag)
	if err == nil {
		list, err = l.ofOneName(ctx, list, sel.tag)
	}
	if err != nil {
		return nil, err
	}
	img, err := l.chooseTop(ctx, list)
	if err != nil {
		return nil, err
	}
	img.Tag = refName(list[0])
	return img, nil
}

func readIndex(ctx context.Context, f files, opts Options) (manifest.Document, error) {
	r, _, err := f.open(ctx, layout.Index)
	if err != nil {
		return manifest.Document{}, err
	}
	defer r.Close()
	data, err := ReadMetadata(r, opts.MetadataLimit())
	var index manifest.Document
	if err == nil {
		index, err = manifest.ParseIndex(data)
	}
	if err != nil {
		return manifest.Document{}, fmt.Errorf("%s: %w", layout.Index, err)
	}
	return index, nil
}

// chooseTop loads an image from the descriptors that have one name in a layout. It takes a
// single descriptor whatever its platform.
func (l *loader) chooseTop(ctx context.Context, list []manifest.Descriptor) (*Image, error) {
	if len(list) == 1 {
		return l.load(ctx, list[0])
	}
	return l.choose(ctx, list, 0)
}

// pick returns the descriptors that tag names, or all without a tag. It leaves out entries
// that are not images according to the index.
func pick(list []manifest.Descriptor, tag string) ([]manifest.Descriptor, error) {
	var images, found []manifest.Descriptor
	var others []string
	for _, d := range list {
		kind := d.OtherType()
		isNamed := tag == "" || isCalled(d, tag)
		switch {
		case kind == "":
			images = append(images, d)
			if isNamed {
				found = append(found, d)
			}
		case tag != "" && isNamed:
			others = append(others, kind)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(others) > 0:
		return nil, fmt.Errorf("%w: tag %q names an artifact of type %.100q, not a container image", ErrUnsupported, tag, others[0])
	case len(images) == 0:
		return nil, noImage(layout.Index, kinds(list))
	}
	return nil, fmt.Errorf("tag %q: %w: %s", tag, ErrNotFound, available(images))
}

// kinds returns the types of the entries that are not images.
func kinds(list []manifest.Descriptor) (types []string) {
	for _, d := range list {
		types = append(types, d.OtherType())
	}
	return types
}

// maxNamed is how many descriptors ofOneName reads to see whether they are images.
const maxNamed = 32

// ofOneName returns an error if the descriptors have several names, so that they are
// several images. An index may list an image once for each platform, so several descriptors
// with one name, or without a name, are one image. If there are several names, entries that
// turn out not to be images do not count: signatures are kept beside images in that way.
func (l *loader) ofOneName(ctx context.Context, list []manifest.Descriptor, tag string) ([]manifest.Descriptor, error) {
	if !severalNames(list) {
		return list, nil
	}
	var images []manifest.Descriptor
	for _, d := range list {
		s := search{loader: l}
		if len(list) > maxNamed || s.list(ctx, []manifest.Descriptor{d}, 0) != nil || len(s.found) > 0 {
			images = append(images, d)
		}
	}
	switch {
	case len(images) == 0:
		return list[:1], nil // loading it gives the error
	case severalNames(images):
		return nil, ambiguous(tag, available(images))
	}
	return images, nil
}

func severalNames(list []manifest.Descriptor) bool {
	return slices.ContainsFunc(list, func(d manifest.Descriptor) bool {
		return d.Digest != list[0].Digest && fullName(d) != fullName(list[0])
	})
}

// ambiguous returns the error if tag, or no tag, names several images.
func ambiguous(tag, available string) error {
	if tag == "" {
		return fmt.Errorf("%w: several images and no tag given: %s", ErrUnsupported, available)
	}
	return fmt.Errorf("%w: tag %q names several images: %s", ErrUnsupported, tag, available)
}

// isCalled reports whether tag names d: it may be the tag itself, or a full name,
// abbreviated or not.
func isCalled(d manifest.Descriptor, tag string) bool {
	ref, full := d.Annotations[manifest.RefName], d.Annotations[manifest.FullName]
	return tag == ref || tag == full || sameName(tag, ref) || sameName(tag, full)
}

// sameName reports whether docker expands a and b to the same name. A tag alone is not a
// name.
func sameName(a, b string) bool {
	if !strings.ContainsAny(a, ":/") || !strings.ContainsAny(b, ":/") {
		return false
	}
	x, err := name.NewTag(a)
	if err != nil {
		return false
	}
	y, err := name.NewTag(b)
	return err == nil && x.Name() == y.Name()
}

// refName returns the tag that a layout gives d.
func refName(d manifest.Descriptor) string { return d.Annotations[manifest.RefName] }

// fullName returns the longest name that a layout gives d.
func fullName(d manifest.Descriptor) string {
	if n := d.Annotations[manifest.FullName]; n != "" {
		return n
	}
	return refName(d)
}

// available lists the names of an index for the user to choose from.
func available(list []manifest.Descriptor) string {
	var names []string
	for _, d := range list {
		n := fullName(d)
		if n == "" {
			n = "@" + d.Digest.String()
		}
		names = append(names, n)
	}
	return choices(names)
}
