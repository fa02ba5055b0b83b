package commit

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"ocipipe/lib/compression"
	"ocipipe/lib/jsonfault"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
)

// form has the media types of an image.
type form struct {
	manifest, config types.MediaType
	layers           map[compression.Kind]types.MediaType
	converts         bool // the types of the base's layers to those of OCI
}

var (
	ociForm = form{
		manifest: types.OCIManifestSchema1, config: types.OCIConfigJSON,
		layers: map[compression.Kind]types.MediaType{
			compression.Plain: types.OCIUncompressedLayer, compression.Gzip: types.OCILayer, compression.Zstd: types.OCILayerZStd,
		},
	}
	dockerForm = form{
		manifest: types.DockerManifestSchema2, config: types.DockerConfigJSON,
		layers: map[compression.Kind]types.MediaType{
			compression.Plain: types.DockerUncompressedLayer, compression.Gzip: types.DockerLayer,
		},
	}
)

// form returns the form of the new image, that of the base if it has all that is needed,
// and the annotations of the base.
func (s *source) form(base *oci.Image) (form, map[string]string, error) {
	var doc struct {
		Annotations map[string]string `json:"annotations"`
	}
	if base.Manifest != nil {
		if err := json.Unmarshal(base.Manifest, &doc); err != nil {
			return form{}, nil, fmt.Errorf("%w: manifest: %v", manifest.ErrCorrupt, jsonfault.Explain(err))
		}
	}
	if types.MediaType(base.MediaType) != types.DockerManifestSchema2 {
		return ociForm, doc.Annotations, nil
	}
	for _, l := range s.added {
		if l.Compression == compression.Zstd {
			if s.opts.Warn != nil {
				s.opts.Warn("the base has a manifest of Docker, which has no type for zstd: the new one is that of OCI")
			}
			f := ociForm
			f.converts = true
			return f, doc.Annotations, nil
		}
	}
	return dockerForm, doc.Annotations, nil
}

// ofBase returns the type of a layer of the base in the form f.
func (f form) ofBase(m types.MediaType) types.MediaType {
	if !f.converts {
		return m
	}
	for _, p := range [][2]string{
		{"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"},
		{"application/vnd.docker.image.rootfs.foreign.diff.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar"},
	} {
		if rest, ok := strings.CutPrefix(string(m), p[0]); ok {
			return types.MediaType(p[1] + strings.Replace(rest, ".", "+", 1))
		}
	}
	return m
}
