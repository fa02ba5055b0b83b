package ocifetch

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cacheflags"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/registryflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "oci-fetch",
	Summary: "Fetch an OCI image and write it as an OCI archive, or write one part of it.",
	Network: true,
	Description: `The image comes from a registry, or from a file or directory. Every byte that is written has been verified against its digest.

What a registry sends is kept in a cache, which is an OCI layout that other tools can read. The registry is not asked again for a tag in the cache, unless --pull=always says so. A download that broke off is resumed, in the same run or in the next.

Names without a host are those of Docker Hub, with a warning where registries.conf says otherwise. Credentials are those of podman and docker.

--vm-config DIR writes to DIR what the image runs. erofs-patch puts it into a disk:

    oci-fetch --vm-config DIR IMAGE | tar2tree |
        erofs-patch --lower - --vm-skeleton --copy-dir DIR:/etc/oci --full |
        tree2erofs -o root.erofs`,
	Arguments: `The image is one of:

    NAME[:TAG][@DIGEST]         in a registry
    oci:DIR[:TAG|@DIGEST]       an OCI layout, a directory
    oci-archive:FILE[:TAG]      an OCI archive
    docker-archive:FILE[:TAG]   an archive of docker save

FILE may be -, which is standard input.`,
	Flags: map[string]string{
		"layer": "Layers have numbers from 0, at the bottom. A digest is that of the compressed layer, or its diff-id.",
		"list":  "They are listed from bottom to top. Digests are in full unless the terminal is too narrow.",
	},
	Examples: []cli.Example{
		{Text: "An image from a registry as a root file system", Command: "oci-fetch alpine | tar2tree | tree2erofs -o rootfs.erofs"},
		{Text: "Its layers, and one of them", Command: "oci-fetch --list alpine\noci-fetch --layer=0 -o layer.tar.gz alpine"},
	},
	SeeAlso: []string{"tar2tree", "erofs-patch", "skopeo", "oci-commit", "oci-push", "oci-cache"},
}).With(imageflags.About, imageflags.AboutVMConfig, cacheflags.About, registryflags.About)
