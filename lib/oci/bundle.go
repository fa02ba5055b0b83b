package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/manifest"
)

// Bundle is all that a reference names in a file: one manifest with its blobs, or an index
// with everything below it. It lives until it is closed, as an [Image] does.
type Bundle struct {
	Name string // of the file, for messages
	// FullName is the name of the image in a registry, if its layout has one; else "".
	FullName string
	Root     *Document

	image   *Image // the only one; nil for a layout
	source  Source
	archive *archive
	closers []io.Closer
}

// Document is a manifest or an index, as it is stored.
type Document struct {
	Data      []byte // which have the digest Digest
	MediaType string
	Digest    digest.Digest
	Platform  string // in the index that lists it, or ""

	Manifests []*Document           // of an index, in order; one that is listed twice is there twice
	Absent    []manifest.Descriptor // that an index lists, and the file lacks
	Blobs     []manifest.Descriptor // of a manifest: the configuration, then the layers
}

// OpenBundle opens what ref, in a form of [Open], names. With Options.Platform it is the
// manifest of one image, chosen as Open chooses it, and otherwise all that is there.
func OpenBundle(ctx context.Context, ref string, opts Options) (*Bundle, error) {
	path, sel, err := splitRef(ref)
	if err != nil {
		return nil, err
	}
	b, err := openBundle(ctx, path, sel, opts)
	return b, nameFile(path, err)
}

func openBundle(ctx context.Context, path string, sel selector, opts Options) (*Bundle, error) {
	if opts.Platform != "" {
		img, err := openFile(ctx, path, sel, opts)
		if err != nil {
			return nil, err
		}
		return bundleOf(img, path), nil
	}
	f, err := opts.open(path)
	if err != nil {
		return nil, err
	}
	if isDir(f) {
		f.Close()
		d := dir{path, opts.Reads}
		if err := d.check(); err != nil {
			return nil, err
		}
		return bundleLayout(ctx, d, sel, opts, path)
	}
	a, err := readArchive(f, opts)
	if err != nil {
		return nil, err
	}
	b, err := bundleArchive(ctx, a, sel, opts, path)
	if err != nil {
		a.Close()
		return nil, err
	}
	b.archive, b.closers = a, append(b.closers, a)
	return b, nil
}

func bundleArchive(ctx context.Context, a *archive, sel selector, opts Options, path string) (*Bundle, error) {
	if isOCI, err := holdsLayout(ctx, a, sel); err != nil {
		return nil, err
	} else if isOCI {
		return bundleLayout(ctx, a, sel, opts, path)
	}
	img, err := openContent(ctx, a, sel, opts)
	if err != nil {
		return nil, err
	}
	return bundleOf(img, path), nil
}

// bundleOf makes a bundle of an image, which is closed with it.
func bundleOf(img *Image, path string) *Bundle {
	d := &Document{Data: img.Manifest, MediaType: img.MediaType, Digest: img.Digest}
	d.Blobs = append(d.Blobs, manifest.Descriptor{MediaType: types.MediaType(img.ConfigMediaType), Digest: img.ConfigDigest, Size: int64(len(img.Config))})
	for i := range img.Layers {
		d.Blobs = append(d.Blobs, img.Layers[i].desc)
	}
	return &Bundle{Name: displayName(path), Root: d, image: img, archive: img.archive, closers: []io.Closer{img}}
}

func bundleLayout(ctx context.Context, f files, sel selector, opts Options, path string) (*Bundle, error) {
	l, err := newLoader(layoutBlobs{f}, opts)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Name: displayName(path), source: l.Source}
	top := manifest.Descriptor{Digest: sel.digest, Size: -1}
	if sel.digest == "" {
		if top, err = l.topOf(ctx, f, sel.tag); err != nil {
			return nil, err
		}
		b.FullName = top.Annotations[manifest.FullName]
	}
	b.Root, err = l.tree(ctx, top, 0, map[listed]*Document{})
	return b, err
}

// topOf returns the only descriptor that tag names in a layout.
func (l *loader) topOf(ctx context.Context, f files, tag string) (manifest.Descriptor, error) {
	index, err := readIndex(ctx, f, l.opts)
	if err != nil {
		return manifest.Descriptor{}, err
	}
	list, err := pick(index.Manifests, tag)
	if err == nil {
		list, err = l.ofOneName(ctx, list, tag)
	}
	if err != nil {
		return manifest.Descriptor{}, err
	}
	for _, d := range list {
		if d.Digest != list[0].Digest {
			return manifest.Descriptor{}, &SeveralError{Count: len(list)}
		}
	}
	return list[0], nil
}

// SeveralError says that a layout lists several images under one name, for several platforms
// perhaps, and not in an index of their own. Options.Platform chooses one. It wraps
// ErrUnsupported.
type SeveralError struct{ Count int }

func (e *SeveralError) Error() string {
	return fmt.Sprintf("%v: %d images of one name, which no index holds together", ErrUnsupported, e.Count)
}

func (e *SeveralError) Unwrap() error { return ErrUnsupported }

// listed is a document as an index lists it.
type listed struct {
	digest    digest.Digest
	size      int64
	mediaType types.MediaType
}

// tree reads the document of d, and what it lists. A document that is in known already is
// not read again: a small index may list a large one many times.
func (l *loader) tree(ctx context.Context, d manifest.Descriptor, depth int, known map[listed]*Document) (*Document, error) {
	t, key := &Document{}, listed{d.Digest, d.Size, d.MediaType}
	if known[key] != nil {
		*t = *known[key]
	} else if err := l.branch(ctx, t, d, depth, known); err != nil {
		return nil, err
	}
	known[key] = t
	if t.Platform = ""; d.Platform != nil && !d.Platform.IsUnknown() && !d.Platform.IsZero() {
		t.Platform = d.Platform.String()
	}
	return t, nil
}

// branch fills in t from the document of d.
func (l *loader) branch(ctx context.Context, t *Document, d manifest.Descriptor, depth int, known map[listed]*Document) error {
	data, err := l.document(ctx, d)
	if err != nil {
		return err
	}
	doc, isIndex, err := manifest.Parse(data, d)
	if err != nil {
		return err
	}
	t.Data, t.MediaType, t.Digest = data, string(doc.MediaType), d.Digest
	if !isIndex {
		if t.MediaType == "" {
			t.MediaType = string(types.OCIManifestSchema1)
		}
		t.Blobs = append([]manifest.Descriptor{*doc.Config}, doc.Layers...)
		return checkBlobs(t.Blobs)
	}
	if t.MediaType == "" {
		t.MediaType = string(types.OCIImageIndex)
	}
	if depth == maxNesting {
		return fmt.Errorf("%w: more than %d indexes within each other", ErrUnsupported, maxNesting)
	}
	for _, child := range doc.Manifests {
		below, err := l.tree(ctx, child, depth+1, known)
		switch {
		case err == nil:
			t.Manifests = append(t.Manifests, below)
		case errors.Is(err, ErrNotFound):
			t.Absent = append(t.Absent, child)
		default:
			return err
		}
	}
	return nil
}

func checkBlobs(list []manifest.Descriptor) error {
	for i, d := range list {
		err := checkDigest(d.Digest)
		if err == nil && d.Size < 0 {
			err = fmt.Errorf("%w: size %d", ErrCorrupt, d.Size)
		}
		switch {
		case err != nil && i == 0:
			return fmt.Errorf("configuration: %w", err)
		case err != nil:
			return nameLayer(i-1, err)
		}
	}
	return nil
}

// Open returns a blob of the bundle. The reader fails, at the latest where it would report
// io.EOF, if it does not have the digest and the size of d. The end of ctx ends a Read that
// waits. The caller closes the reader. A blob can be read more than once, until the bundle is
// closed.
func (b *Bundle) Open(ctx context.Context, d manifest.Descriptor) (io.ReadCloser, error) {
	switch img := b.image; {
	case img == nil:
		return b.source.Layer(ctx, 0, d)
	case d.Digest == img.ConfigDigest:
		return verifySized(io.NopCloser(bytes.NewReader(img.Config)), int64(len(img.Config)), d)
	default:
		l, err := img.Layer(d.Digest.String())
		if err != nil {
			return nil, err
		}
		return l.source.Layer(ctx, l.Index, l.desc)
	}
}

// Drain is [Image.Drain].
func (b *Bundle) Drain(ctx context.Context) error {
	if b.archive == nil {
		return nil
	}
	return b.archive.wait(ctx)
}

// Close frees what the bundle holds; see [Image.Close].
func (b *Bundle) Close() error {
	return closeAll(&b.closers)
}

// BaseNames returns the names of images that d was made of, as builders note them in its
// annotations.
func (d *Document) BaseNames() []string {
	return d.baseNames(map[digest.Digest]bool{})
}

func (d *Document) baseNames(seen map[digest.Digest]bool) (names []string) {
	if seen[d.Digest] {
		return nil
	}
	seen[d.Digest] = true
	var doc struct {
		Annotations map[string]string `json:"annotations"`
	}
	if manifest.Decode(d.Data, &doc) == nil {
		if n := strings.TrimSpace(doc.Annotations[manifest.BaseName]); n != "" {
			names = append(names, n)
		}
	}
	for _, child := range d.Manifests {
		names = append(names, child.baseNames(seen)...)
	}
	return names
}
