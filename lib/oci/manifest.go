package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/platform"
)

// A descriptor names a blob and says what it is.
type descriptor struct {
	MediaType   types.MediaType    `json:"mediaType,omitempty"`
	Digest      digest.Digest      `json:"digest"`
	Size        int64              `json:"size"` // -1: not known, only of what a user named by digest
	URLs        []string           `json:"urls,omitempty"`
	Annotations map[string]string  `json:"annotations,omitempty"`
	Platform    *platform.Platform `json:"platform,omitempty"`
	Data        []byte             `json:"data,omitempty"` // the blob itself

	ArtifactType types.MediaType `json:"artifactType,omitempty"` // of a manifest

	layer int // of which layer this is, for events
}

// document is what an index or a manifest holds, in the OCI form or Docker's.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType,omitempty"`
	ArtifactType  types.MediaType `json:"artifactType,omitempty"`
	Config        *descriptor     `json:"config,omitempty"`
	Layers        []descriptor    `json:"layers,omitempty"`
	Manifests     []descriptor    `json:"manifests,omitempty"`
}

// configFile is the part of a configuration that matters here.
type configFile struct {
	platform.Platform
	RootFS struct {
		Type    string          `json:"type"`
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

// Annotations that builders put on descriptors.
const (
	annotationRefName  = "org.opencontainers.image.ref.name"
	annotationFullName = "io.containerd.image.name"
	annotationDocker   = "vnd.docker.reference.type" // an attestation, not an image
)

// Bounds on what an index can make us read.
const (
	maxDocuments = 256 // indexes and manifests read for one image
	maxNesting   = 8   // indexes within indexes
	maxObjects   = 1 << 16
)

// decode parses JSON whose length is limited, and what it can expand to.
func decode(data []byte, v any) error {
	if bytes.Count(data, []byte("{")) > maxObjects {
		return fmt.Errorf("%w: JSON of more than %d objects", ErrUnsupported, maxObjects)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}

// choices lists names for the user to choose from.
func choices(names []string) string { return "available: " + some(names) }

// some lists names: each once, in order, not more than a screen can hold.
func some(names []string) string {
	const most, longest = 20, 100
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	for i, n := range names {
		if len(n) > longest {
			names[i] = n[:longest] + "..."
		}
	}
	return strings.Join(names, ", ") + more
}

// parseDocument decodes an index or a manifest and says which it is. One that
// could be taken for either is refused, since others would take it differently.
func parseDocument(data []byte, d descriptor) (doc document, isIndex bool, err error) {
	if err := decode(data, &doc); err != nil {
		return doc, false, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if doc.MediaType == "" {
		doc.MediaType = d.MediaType
	}
	if err := checkSizes(doc.Manifests); err != nil {
		return doc, false, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	isIndex = doc.Manifests != nil
	isManifest := doc.Config != nil || doc.Layers != nil
	switch {
	case doc.SchemaVersion == 1:
		return doc, false, fmt.Errorf("%w: manifest %s: docker schema 1", ErrUnsupported, d.Digest)
	case isIndex && isManifest,
		isIndex && doc.MediaType.IsImage(), isManifest && doc.MediaType.IsIndex(),
		isIndex && d.MediaType.IsImage(), isManifest && d.MediaType.IsIndex():
		return doc, false, fmt.Errorf("%w: manifest %s: both an index and the manifest of an image", ErrCorrupt, d.Digest)
	case !isIndex && doc.Config == nil && doc.MediaType.IsIndex():
		return doc, true, nil
	case !isIndex && doc.Config == nil:
		return doc, false, fmt.Errorf("%w: manifest %s: neither an index nor the manifest of an image", ErrUnsupported, d.Digest)
	}
	return doc, isIndex, nil
}

// checkSizes refuses what would pass for a manifest of which the size is unknown.
func checkSizes(list []descriptor) error {
	for _, d := range list {
		if d.Size < 0 {
			return fmt.Errorf("%w: %.150q: size %d", ErrCorrupt, d.Digest, d.Size)
		}
	}
	return nil
}

// loader turns a descriptor into an image.
type loader struct {
	blobs
	opts Options
	want platform.Platform
	read int // documents so far
}

func newLoader(b blobs, opts Options) (*loader, error) {
	want, err := platform.Parse(opts.Platform)
	return &loader{blobs: embedded{b}, opts: opts, want: want}, err
}

// embedded finds blobs in their descriptors first.
type embedded struct{ blobs }

func (e embedded) blob(ctx context.Context, d descriptor) (io.ReadCloser, int64, error) {
	if d.Data != nil {
		return io.NopCloser(bytes.NewReader(d.Data)), int64(len(d.Data)), nil
	}
	return e.blobs.blob(ctx, d)
}

func (e embedded) manifest(ctx context.Context, d descriptor) (io.ReadCloser, int64, error) {
	if d.Data != nil {
		return e.blob(ctx, d)
	}
	return e.blobs.manifest(ctx, d)
}

// document reads and verifies the index or manifest of d.
func (l *loader) document(ctx context.Context, d descriptor) ([]byte, error) {
	if l.read++; l.read > maxDocuments {
		return nil, fmt.Errorf("%w: more than %d manifests to read", ErrUnsupported, maxDocuments)
	}
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	r, _, err := l.manifest(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	defer r.Close()
	data, err := readDocument(r, d, l.opts.maxMetadata())
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return data, nil
}

// load reads the image of d, which may be an index.
func (l *loader) load(ctx context.Context, d descriptor) (*Image, error) {
	data, err := l.document(ctx, d)
	if err != nil {
		return nil, err
	}
	return l.loadData(ctx, d, data, 0)
}

// loadData is load where the document has been read and verified.
func (l *loader) loadData(ctx context.Context, d descriptor, data []byte, depth int) (*Image, error) {
	doc, isIndex, err := parseDocument(data, d)
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
func (l *loader) image(ctx context.Context, d descriptor, data []byte, doc document) (*Image, error) {
	if kind := doc.artifact(); kind != "" {
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
		Platform: conf.Platform.String(), blobs: l.blobs,
	}
	if !doc.MediaType.IsImage() { // neither the manifest nor its index say
		img.MediaType = string(types.OCIManifestSchema1)
	}
	if n := len(conf.RootFS.DiffIDs); n != len(doc.Layers) {
		return nil, fmt.Errorf("%w: the manifest has %d layers, the configuration %d diff_ids", ErrCorrupt, len(doc.Layers), n)
	}
	for i, d := range doc.Layers {
		layer := Layer{Index: i, Digest: d.Digest, DiffID: conf.RootFS.DiffIDs[i], Size: d.Size,
			MediaType: string(d.MediaType), desc: d, blobs: l.blobs}
		if err := layer.check(); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		img.Layers = append(img.Layers, layer)
	}
	return img, nil
}

// config reads, verifies and decodes a configuration.
func (l *loader) config(ctx context.Context, d descriptor) (raw []byte, conf configFile, err error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, conf, fmt.Errorf("configuration: %w", err)
	}
	if d.Size < 0 {
		return nil, conf, fmt.Errorf("%w: configuration: size %d", ErrCorrupt, d.Size)
	}
	r, _, err := l.blob(ctx, d)
	if err != nil {
		return nil, conf, fmt.Errorf("configuration: %w", err)
	}
	defer r.Close()
	if raw, err = readDocument(r, d, l.opts.maxMetadata()); err != nil {
		return nil, conf, fmt.Errorf("configuration: %w", err)
	}
	conf, err = parseConfig(raw)
	return raw, conf, err
}

func parseConfig(raw []byte) (configFile, error) {
	var conf configFile
	if err := json.Unmarshal(raw, &conf); err != nil {
		return conf, fmt.Errorf("%w: configuration: %v", ErrCorrupt, err)
	}
	return conf, nil
}

// check refuses a layer that could not be used.
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
	if !isLayer(l.MediaType) {
		return fmt.Errorf("%w: media type %.100q is no file system layer", ErrUnsupported, l.MediaType)
	}
	return nil
}

// artifact is the type of what the manifest doc describes, if no container image; else
// "".
func (doc document) artifact() string {
	switch m := doc.Config.MediaType; {
	case isImageConfig(m):
		return ""
	case doc.ArtifactType != "":
		return string(doc.ArtifactType)
	case !isConfig(m):
		return string(m)
	}
	return ""
}

// isImageConfig reports whether m is the type of the configuration of a container image.
func isImageConfig(m types.MediaType) bool {
	return m == types.OCIConfigJSON || m == types.DockerConfigJSON
}

// isConfig reports whether m is such a type, or one that registries and builders gave
// to configurations by mistake: those that Docker takes (moby, distribution/registry.go,
// and github.com/docker/distribution/issues/1621).
func isConfig(m types.MediaType) bool {
	return isImageConfig(m) || slices.Contains([]types.MediaType{"application/octet-stream", "application/json", "text/html", ""}, m)
}

// layerTypes are those of tars, before what names their compression.
var layerTypes = []string{
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
}

// isFileSystem reports whether d is a layer of files, be it one that is not read.
func (d descriptor) isFileSystem() bool {
	return d.MediaType == "" || slices.ContainsFunc(layerTypes, func(base string) bool {
		return strings.HasPrefix(string(d.MediaType), base)
	})
}

// isLayer reports whether m is a tar in one of the compressions that are read.
// A missing type passes: the content says what it is.
func isLayer(m string) bool {
	for _, base := range layerTypes {
		if rest, ok := strings.CutPrefix(m, base); ok {
			return slices.Contains([]string{"", "+gzip", "+zstd", ".gzip", ".zstd"}, rest)
		}
	}
	return m == ""
}
