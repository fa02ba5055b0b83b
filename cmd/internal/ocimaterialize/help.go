package ocimaterialize

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cacheflags"
	"ocipipe/lib/cli/erofsflags"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/registryflags"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "oci-materialize",
	Summary: "Make all that a virtual machine needs of an image, and print where it is.",
	Network: true,
	Needs:   "Linux 6.4 and later mount the disk of layers, and 5.15 with --device-table=no; 5.15 mounts a flat EROFS image. An ext4 image and the upper disk need Linux 4.x. For --compress see tree2erofs.",
	Description: `It does in one process what oci-fetch, tar2tree, tree2erofs, tree2ext4, mkext4upper and wrap-vmdk do in a pipeline, and makes the same bytes. Layers are fetched, verified, unpacked and converted at the same time, each while it still arrives.

All of it lies in a cache. The image of a layer is kept under its diff-id, so images share it. What the cache has is not made again: a call that finds everything takes a few milliseconds. Several processes may use the cache at once; what two of them want is made once, and one that is killed leaves nothing that stops the others.

The targets include each other. layers is an EROFS image of each layer. fsmeta is also an image of metadata alone, which merges them. vmdk is also a descriptor that makes one disk of fsmeta and the layers. flat is one image of the whole tree, made from the images of layers. all is vmdk and flat.

With --compress the images of layers are compressed, and so is a flat EROFS image; fsmeta and the disk refer to what is compressed. An ext4 image never is: --target=all --format=ext4 compresses the layers alone. Compressed artifacts lie in the cache beside plain ones, each under its own name, which says how it is compressed and by which version of the encoder. Where something is made, and not only found, a warning says which kernel it needs.

Standard output gets JSON: reference, manifest, index (if the reference names one), config, platform; process, which is what the image runs; cache and abi; compression, with algorithm, level, pcluster, extents and variant, which is part of the names of files, if there is any; layers, from bottom to top, with digest, diff_id, path and uuid of the image; fsmeta, vmdk, flat and upper, as far as they were made, each with path, size, built (false if it was found) and seconds; hit, which is true if nothing had to be built. fsmeta and flat have the digest of the file. Paths are absolute, sizes are bytes. Fields are added in later versions, and none changes its meaning while version is 1.

    {"version": 1, "reference": "docker.io/library/alpine:latest",
     "manifest": {"digest": "sha256:...", "size": 528, "media_type": "..."},
     "process": {"argv": ["/bin/sh"], "env": ["PATH=..."], ...},
     "layers": [{"digest": "sha256:...", "diff_id": "sha256:...", "path": "/..."}],
     "fsmeta": {"path": "/...", "digest": "sha256:..."},
     "vmdk": {"path": "/...", "disk_size": 8273920}, "hit": true}

An image in a file, or on standard input, is converted too. With --as its layers are kept in the cache under a name, as if it had come from a registry: --pull=never NAME finds it.`,
	Arguments: `The image is one of:

    NAME[:TAG][@DIGEST]         in a registry
    oci:DIR[:TAG|@DIGEST]       an OCI layout, a directory
    oci-archive:FILE[:TAG]      an OCI archive
    docker-archive:FILE[:TAG]   an archive of docker save

FILE may be -, which is standard input.`,
	Flags: map[string]string{
		"report":         "It is the JSON that standard output gets without --print: with --print both are to be had. FILE is opened before the work begins, and replaced at its end; if the tool fails, it is as it was. If the report cannot be written the tool fails, and what was made stays. - is standard output, if --output names another. A named pipe waits for its reader.",
		"device-table":   "With no, any Linux since 5.15 mounts the disk of fsmeta and layers, and fsmeta cannot be mounted with -o device=LAYER.",
		"upper":          "It is an ext4 disk as mkext4upper makes it: an empty /upper, which has the attributes of the root of the image, and /work. A FILE that exists is replaced, unless it is the image itself or lies in the cache.",
		"print":          "Of layers, one path on each line, from bottom to top.",
		"as":             "NAME is [REGISTRY/]NAME[:TAG]. Without this flag the layers of an image in a file are not kept, and the cache lists it under its digest.",
		"keep-blobs":     "With no, compressed layers leave the cache once they are converted; what needs them again fetches them again. The reference is in refs.json then, in place of index.json.",
		"max-cache-size": "What was not used for the longest time goes first, whole images, but nothing of this one. oci-cache prune does the same.",
		"force":          "Everything is fetched and made again.",
		"verify-cache":   "The digests of blobs and flat images are checked, and the UUIDs of EROFS images, which derive from their content. What is damaged is made again.",
		"jobs":           "Layers to fetch at a time, and to convert, as far as there are processors. The largest come first.",
		"mtime":          "This and --clamp-mtime apply to the flat image and to the upper disk, and never to what images share.",
		"size":           "Without this flag, and without --free-space, it is as tree2ext4 chooses it.",
	},
	Env: []cli.Term{
		{Name: "OCIPIPE_MAX_CACHE_SIZE", Text: "Bound of the cache; --max-cache-size comes before it."},
	},
	Examples: []cli.Example{
		{Text: "A disk for a virtual machine, and its path", Command: "oci-materialize --print=vmdk alpine"},
		{Text: "One ext4 image, and an upper disk", Command: "oci-materialize --target=flat --format=ext4 --upper=4G=upper.ext4 alpine"},
		{Text: "A compressed disk, for Linux 6.10 and later", Command: "oci-materialize --quiet --compress=zstd --print=vmdk alpine"},
		{Text: "An image of docker, under a name", Command: "docker save app | oci-materialize --as=app docker-archive:-"},
	},
	SeeAlso: []string{"oci-fetch", "oci-cache", "tree2erofs", "wrap-vmdk", "mkext4upper"},
}).With(erofsflags.About, imageflags.About, imageflags.AboutVMConfig, cacheflags.About, registryflags.About)
