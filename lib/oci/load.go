package oci

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/platform"
)

// Bounds on what an index can make us read.
const (
	maxDocuments = 256 // indexes and manifests read for one image
	maxNesting   = 8   // indexes within indexes
)

// choices lists names for the user to choose from.
func choices(names []string) string { return "available: " + joinNames(names) }

// joinNames lists names: each once, in order, and no more than a screen can hold.
func joinNames(names []string) string {
	const maxNames, maxLen = 20, 100
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if n := len(names) - maxNames; n > 0 {
		names, more = names[:maxNames], fmt.Sprintf(" and %d more", n)
	}
	for i, n := range names {
		if len(n) > maxLen {
			names[i] = n[:maxLen] + "..."
		}
	}
	return strings.Join(names, ", ") + more
}

// Load makes an image of d, which is a manifest or an index. From an index it takes the
// image that serves the wanted platform best. The blobs come from src. Close of the image
// closes src if it is an io.Closer; an error of Load leaves it open. data is the manifest
// or index if the caller has read and verified it already, else nil. A size of -1 in d is
// not checked.
func Load(ctx context.Context, src Source, d manifest.Descriptor, data []byte, opts Options) (*Image, error) {
	l, err := newLoader(src, opts)
	if err != nil {
		return nil, err
	}
	if data == nil {
		if data, err = l.document(ctx, d); err != nil {
			return nil, err
		}
	}
	img, err := l.loadData(ctx, d, data, 0)
	if err != nil {
		return nil, err
	}
	if c, ok := src.(io.Closer); ok {
		img.closers = append(img.closers, c)
	}
	return img, nil
}

// loader turns a descriptor into an image.
type loader struct {
	Source // src, after the data in descriptors
	src    Source
	opts   Options
	want   platform.Platform
	read   int // documents read so far
}

func newLoader(src Source, opts Options) (*loader, error) {
	want, err := platform.Parse(opts.Platform)
	return &loader{Source: embedded{src}, src: src, opts: opts, want: want}, err
}

// document reads and verifies the index or manifest of d.
func (l *loader) document(ctx context.Context, d manifest.Descriptor) ([]byte, error) {
	if l.read++; l.read > maxDocuments {
		return nil, fmt.Errorf("%w: more than %d manifests to read", ErrUnsupported, maxDocuments)
	}
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	r, err := l.Manifest(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	defer r.Close()
	data, err := readDocument(r, d, l.opts.MetadataLimit())
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return data, nil
}

// load reads the image of d, which may be an index.
func (l *loader) load(ctx context.Context, d manifest.Descriptor) (*Image, error) {
	data, err := l.document(ctx, d)
	if err != nil {
		return nil, err
	}
	return l.loadData(ctx, d, data, 0)
}

// loadData is load for a document that has been read and verified.
func (l *loader) loadData(ctx context.Context, d manifest.Descriptor, data []byte, depth int) (*Image, error) {
	doc, isIndex, err := manifest.Parse(data, d)
	if err != nil {
		return nil, err
	}
	if !isIndex {
		return l.image(ctx, d, data, doc)
	}
	if depth == maxNesting {
		return nil, fmt.Errorf("%w: more than %d indexes within each other", ErrUnsupported, maxNesting)
	}
	return l.choose(ctx, doc.Manifests, depth)
}

// image makes the image of the manifest d.
func (l *loader) image(ctx context.Context, d manifest.Descriptor, data []byte, doc manifest.Document) (*Image, error) {
	if kind := doc.Artifact(); kind != "" {
		return nil, fmt.Errorf("%w: %s is an artifact of type %.100q, not a container image", ErrUnsupported, d.Digest, kind)
	}
	raw, conf, err := l.config(ctx, *doc.Config)
	if err != nil {
		return nil, err
	}
	if err := l.compare(d.Platform, conf.Platform); err != nil {
		return nil, err
	}
	img := &Image{
		Manifest: data, MediaType: string(doc.MediaType), Digest: d.Digest,
		Config: raw, ConfigMediaType: string(doc.Config.MediaType), ConfigDigest: doc.Config.Digest,
		Platform: conf.Platform.String(), source: l.src,
	}
	if !doc.MediaType.IsImage() { // neither the manifest nor its index says
		img.MediaType = string(types.OCIManifestSchema1)
	}
	if n := len(conf.RootFS.DiffIDs); n != len(doc.Layers) {
		return nil, fmt.Errorf("%w: the manifest has %d layers, the configuration %d diff_ids", ErrCorrupt, len(doc.Layers), n)
	}
	for i, d := range doc.Layers {
		layer := Layer{Index: i, Digest: d.Digest, DiffID: conf.RootFS.DiffIDs[i], Size: d.Size,
			MediaType: string(d.MediaType), desc: d, source: l.Source}
		if err := layer.check(); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		img.Layers = append(img.Layers, layer)
	}
	return img, nil
}

// config reads, verifies and decodes a configuration.
func (l *loader) config(ctx context.Context, d manifest.Descriptor) (raw []byte, conf manifest.Config, err error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, conf, fmt.Errorf("configuration: %w", err)
	}
	if d.Size < 0 {
		return nil, conf, fmt.Errorf("%w: configuration: size %d", ErrCorrupt, d.Size)
	}
	r, err := l.Config(ctx, d)
	if err != nil {
		return nil, conf, fmt.Errorf("configuration: %w", err)
	}
	defer r.Close()
	if raw, err = readDocument(r, d, l.opts.MetadataLimit()); err != nil {
		return nil, conf, fmt.Errorf("configuration: %w", err)
	}
	conf, err = manifest.ParseConfig(raw)
	return raw, conf, err
}

// check returns an error if the layer could not be used.
func (l *Layer) check() error {
	if err := checkDigest(l.Digest); err != nil {
		return err
	}
	if err := checkDigest(l.DiffID); err != nil {
		return fmt.Errorf("diff-id: %w", err)
	}
	if l.Size < 0 {
		return fmt.Errorf("%w: size %d", ErrCorrupt, l.Size)
	}
	if !manifest.IsLayer(l.MediaType) {
		return fmt.Errorf("%w: media type %.100q is no file system layer", ErrUnsupported, l.MediaType)
	}
	return nil
}
