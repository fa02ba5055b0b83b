package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/platform"
)

// What can be wrong with an image. Errors wrap the one that applies, if any does.
var (
	ErrCorrupt     = errors.New("corrupt image")
	ErrUnsupported = errors.New("unsupported image")
)

// Descriptor names a blob and says what it is.
type Descriptor struct {
	MediaType   types.MediaType    `json:"mediaType,omitempty"`
	Digest      digest.Digest      `json:"digest"`
	Size        int64              `json:"size"` // -1 if it is not known: the user named the blob by its digest
	URLs        []string           `json:"urls,omitempty"`
	Annotations map[string]string  `json:"annotations,omitempty"`
	Platform    *platform.Platform `json:"platform,omitempty"`
	Data        []byte             `json:"data,omitempty"` // the blob itself

	ArtifactType types.MediaType `json:"artifactType,omitempty"` // of a manifest
}

// Untyped returns a descriptor of a document, from what another package knows of it.
func Untyped(mediaType string, d digest.Digest, size int64) Descriptor {
	return Descriptor{MediaType: types.MediaType(mediaType), Digest: d, Size: size}
}

// Document is an index or a manifest, in the OCI form or Docker's.
type Document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType,omitempty"`
	ArtifactType  types.MediaType `json:"artifactType,omitempty"`
	Config        *Descriptor     `json:"config,omitempty"`
	Layers        []Descriptor    `json:"layers,omitempty"`
	Manifests     []Descriptor    `json:"manifests,omitempty"`
}

// Config is the part of a configuration that the tools use.
type Config struct {
	platform.Platform
	RootFS struct {
		Type    string          `json:"type"`
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

// Annotations that builders put on descriptors.
const (
	RefName         = "org.opencontainers.image.ref.name" // a tag, or a full name
	FullName        = "io.containerd.image.name"
	BaseName        = "org.opencontainers.image.base.name"   // the image that this one was made of, in a registry
	BaseDigest      = "org.opencontainers.image.base.digest" // of the manifest of that image
	DockerReference = "vnd.docker.reference.type"            // an attestation, not an image
)

// maxObjects bounds what JSON of a limited length can expand to in memory.
const maxObjects = 1 << 16

// Decode parses JSON whose length the caller has limited into v.
func Decode(data []byte, v any) error {
	if bytes.Count(data, []byte("{")) > maxObjects {
		return fmt.Errorf("%w: JSON of more than %d objects", ErrUnsupported, maxObjects)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, jsonfault.Explain(err))
	}
	return nil
}

// DockerList is the name of the list of [DockerImage] in an archive of docker save.
const DockerList = "manifest.json"

// DockerImage is an image of that list. Config and Layers are names of files.
type DockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// ParseIndex decodes index.json of a layout.
func ParseIndex(data []byte) (Document, error) {
	var index Document
	if err := Decode(data, &index); err != nil {
		return index, err
	}
	return index, checkSizes(index.Manifests)
}

// Parse decodes the index or manifest d, and says which of the two it is. It refuses a
// document that could be taken for either, since another program might take it differently.
func Parse(data []byte, d Descriptor) (doc Document, isIndex bool, err error) {
	if err := Decode(data, &doc); err != nil {
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

// checkSizes refuses negative sizes, since -1 means a size that is not known.
func checkSizes(list []Descriptor) error {
	for _, d := range list {
		if d.Size < 0 {
			return fmt.Errorf("%w: %.150q: size %d", ErrCorrupt, d.Digest, d.Size)
		}
	}
	return nil
}

// ParseConfig decodes a configuration.
func ParseConfig(raw []byte) (Config, error) {
	var conf Config
	if err := json.Unmarshal(raw, &conf); err != nil {
		return conf, fmt.Errorf("%w: configuration: %v", ErrCorrupt, jsonfault.Explain(err))
	}
	return conf, nil
}

// OtherType returns the type of the entry d of an index if the index says that d is neither
// an image nor an index. For all other entries it returns "".
func (d Descriptor) OtherType() string {
	switch {
	case d.Annotations[DockerReference] != "":
		return d.Annotations[DockerReference]
	case d.Platform != nil && d.Platform.IsUnknown():
		return "attestation"
	case d.ArtifactType != "" && !IsImageConfig(d.ArtifactType):
		return string(d.ArtifactType)
	case d.MediaType == "" || d.MediaType.IsIndex() || d.MediaType.IsImage():
		return ""
	}
	return string(d.MediaType)
}

// Artifact returns the type of the artifact that the manifest doc describes, or "" if that
// is a container image.
func (doc Document) Artifact() string {
	switch m := doc.Config.MediaType; {
	case IsImageConfig(m):
		return ""
	case doc.ArtifactType != "":
		return string(doc.ArtifactType)
	case !isConfig(m):
		return string(m)
	}
	return ""
}

// IsForeign reports whether d is a layer that is not distributed with its image.
func (d Descriptor) IsForeign() bool {
	return len(d.URLs) > 0 && (strings.Contains(string(d.MediaType), ".nondistributable.") || strings.Contains(string(d.MediaType), ".foreign."))
}

// IsImageConfig reports whether m is the type of the configuration of a container image.
func IsImageConfig(m types.MediaType) bool {
	return m == types.OCIConfigJSON || m == types.DockerConfigJSON
}

// isConfig reports whether m is such a type, or one that registries and builders gave to
// configurations by mistake: those that Docker accepts (moby, distribution/registry.go, and
// github.com/docker/distribution/issues/1621).
func isConfig(m types.MediaType) bool {
	return IsImageConfig(m) || slices.Contains([]types.MediaType{"application/octet-stream", "application/json", "text/html", ""}, m)
}

// layerTypes are the media types of layers without the ending that names a compression.
var layerTypes = []string{
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
}

// IsFileSystem reports whether d is a layer of files, even one in a compression that is not
// supported.
func (d Descriptor) IsFileSystem() bool {
	return d.MediaType == "" || slices.ContainsFunc(layerTypes, func(base string) bool {
		return strings.HasPrefix(string(d.MediaType), base)
	})
}

// IsLayer reports whether m is the type of a tar in one of the supported compressions. A
// missing type passes: the content says what it is.
func IsLayer(m string) bool {
	for _, base := range layerTypes {
		if rest, ok := strings.CutPrefix(m, base); ok {
			return slices.Contains([]string{"", "+gzip", "+zstd", ".gzip", ".zstd"}, rest)
		}
	}
	return m == ""
}

// Encode encodes a document that this program has made. That cannot fail.
func Encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
