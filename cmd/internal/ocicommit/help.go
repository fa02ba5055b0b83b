package ocicommit

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cacheflags"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/registryflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "oci-commit",
	Summary: "Make a new image of a base image and layers.",
	Network: true,
	Description: `The base may be in a registry, a file or a directory, as for oci-fetch. Its layers are verified and passed on byte for byte. Each added layer is read once, and checked to be a complete tar of files. Without --layer only the configuration changes.

The configuration of the base is kept, also what this tool does not know of it. Times in the new image are SOURCE_DATE_EPOCH or 0: the same input gives the same bytes.

The manifest is in the form of the base, OCI or Docker. Docker's has no zstd: with such a layer the new one is in the form of OCI, with a warning. Annotations of the base stay, and org.opencontainers.image.base.digest and, if the base came from a registry, base.name say what it was.`,
	Flags: map[string]string{
		"base":               "It is a NAME in a registry, oci:DIR[:TAG|@DIGEST], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG], as for oci-fetch. FILE - is standard input. scratch is no base: --platform says then what the image is for.",
		"layer":              "It may be plain, or compressed with gzip or zstd.",
		"compress":           "keep leaves every layer as it comes. The other kinds are for those that are compressed in another way; a layer that is of the kind already keeps its bytes.",
		"squash-base":        "The layers are merged, and the contents wait in spool files. --compress=keep means gzip here. The history of the base stays, without layers.",
		"pin":                "JSON is a file with what oci-materialize printed, or -, or the directory of a snapshot of snapshot-pack, which says on what its disk stands. The digest of the manifest, the platform and the diff-ids, as far as they are named there, must be those of the base.",
		"env":                "It replaces the variable of the same name. NAME= sets an empty value.",
		"entrypoint":         "Without --cmd the arguments of the base are removed, as they were meant for another program. What begins with [ is a JSON array; all else is split as a shell does, without expansions. An empty text removes the entrypoint.",
		"cmd":                "An empty text removes the arguments.",
		"expose":             "PROTO is tcp, udp or sctp; without it tcp.",
		"annotation":         "It replaces one of the base.",
		"format":             "docker is the form of docker save, which docker load and podman load take. Layers are not compressed in it.",
		"tag":                "In an OCI archive it is org.opencontainers.image.ref.name: letters and digits, between them single characters of -._:@+/. In one of docker save it is a full name, with the tag latest if it has none.",
		"layout":             "The layout is made if there is none. The image replaces what has the tag; without TAG that is latest. index.json changes last. DIR ends before the first colon, as in oci:DIR:TAG, but a path that exists is DIR.",
		"dry-run":            "It prints JSON, with what --cmd and --entrypoint were split into. Added layers are read for that.",
		"allow-unterminated": "Other programs may refuse the image.",
	},
	Examples: []cli.Example{
		{Text: "What was changed on the disk of a virtual machine, as an image", Command: "ext42tree --upper upper.ext4 | tree2tar --oci -z gzip |\n    oci-commit --base alpine --layer - --cmd '[\"/srv\"]' -o image.tar"},
		{Text: "Another configuration, for docker load", Command: "oci-commit --base alpine --env A=1 --format docker --tag me/app -o image.tar"},
		{Text: "An image of one layer, in a layout", Command: "oci-commit --base scratch --platform linux/amd64 --layer layer.tar \\\n    --compress zstd --layout images:v1"},
	},
	SeeAlso: []string{"ext42tree", "tree2tar", "oci-push", "oci-fetch", "oci-materialize", "snapshot-pack", "skopeo"},
}).With(imageflags.About, cacheflags.About, registryflags.About)
