package imageflags

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/oci"
)

// Describe adds to the report what img is.
func Describe(env *cli.Env, img *oci.Image) {
	r := env.Result()
	r.Manifest = &report.Blob{Digest: img.Digest, Size: int64(len(img.Manifest)), MediaType: img.MediaType}
	r.Config = &report.Blob{Digest: img.ConfigDigest, Size: int64(len(img.Config)), MediaType: img.ConfigMediaType}
	r.Platform = img.Platform
	r.Layers = make([]report.Layer, len(img.Layers))
	for i, l := range img.Layers {
		r.Layers[i] = report.Layer{Digest: l.Digest, DiffID: l.DiffID, Size: l.Size, MediaType: l.MediaType}
	}
}
