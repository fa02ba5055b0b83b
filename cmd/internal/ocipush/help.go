package ocipush

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/registryflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "oci-push",
	Summary: "Push an OCI image from an archive or a layout to a registry, and print its digest.",
	Network: true,
	Description: `What the input names is pushed as it is, with its digest: one manifest, or an index with all its images. Only an archive of docker save, which has no manifest, gets one.

Layers come first, then manifests by their digests, and tags last. A push that fails, or is killed, has set no tag to anything incomplete; the next one does not upload again what the registry has. With several tags, those that were set before a failure name the complete image.

Layers go in chunks. After a failure the registry is asked how much it has, and gets the rest. A registry that knows no chunks gets each layer in one request.

Layers that another repository of the same registry has are taken over from there, if the registry allows it, once the input has proved to have them: those of --mount-from, and of the image that the annotation or label org.opencontainers.image.base.name names.

Mirrors are never pushed to; a location in registries.conf counts.`,
	Arguments: `The input is one of:

    -                           an archive on standard input
    FILE, DIR                   an archive, or an OCI layout
    oci:DIR[:TAG|@DIGEST]       an OCI layout, a directory
    oci-archive:FILE[:TAG]      an OCI archive
    docker-archive:FILE[:TAG]   an archive of docker save

Without a tag in the name, and without --tag, the tag is latest. With NAME@DIGEST the image must have that digest, and gets only the tags of --tag.`,
	Flags: map[string]string{
		"tag":           "Tags are set in order, after the one in the name. If the name has none, these are all.",
		"platform":      "It may have a variant: linux/arm/v7. Without this flag all of an index is pushed.",
		"mount-from":    "It is [REGISTRY/]NAME. A registry that does not allow it gets the layers.",
		"chunk-size":    "Chunks get smaller by themselves if the registry, or a proxy before it, refuses them as too large.",
		"allow-foreign": "Such layers have URLs in the manifest, and a media type of their own. Without this flag they stay where they are.",
		"output":        "It gets the line with the digest: NAME@DIGEST.",
		"tmpdir":        "Without this flag it is $TMPDIR. An archive from a pipe is kept there while it is pushed.",
	},
	Examples: []cli.Example{
		{Text: "An image from a file, with two tags", Command: "oci-push registry.example.com/me/app:v2 image.tar --tag latest"},
		{Text: "From one registry to another", Command: "oci-fetch alpine | oci-push registry.example.com/me/alpine"},
	},
	SeeAlso: []string{"oci-commit", "oci-fetch", "tree2tar", "skopeo"},
}).With(registryflags.AboutAccess)
