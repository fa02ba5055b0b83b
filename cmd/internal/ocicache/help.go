package ocicache

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cachedir"
)

// manual has the texts of --help and the man page.
var manual = (cli.Manual{
	Name:    "oci-cache",
	Summary: "Show what is in the cache of images, remove what is not needed, and check the rest.",
	Description: `The cache is the one that oci-fetch and oci-materialize use. It has the compressed layers of images, EROFS images of layers, and what was made of whole images: metadata, disks, flat images. Images share layers, so what all of them take together is less than the sum.

Other processes may use the cache meanwhile. What a running one works with is never removed: it waits for the end of a prune before it begins, and what it has found then stays. A process that is killed holds nothing any more. If oci-cache itself is killed, the cache is valid, and what was not yet removed goes with the next prune.

Files that are not of the cache are left alone. verify names them.`,
	Flags: map[string]string{
		"json": "One document: an object for ls, rm, prune and verify, and for inspect an array. Sizes are in bytes. Fields may be added.",
	},
	Commands: map[string]cli.Command{
		"ls": {Description: `There is a line for each image: SIZE is what all its files take on the disk, and ALONE what its removal would free. Only manifests and configurations are read.

With --json there is an object with cache, the directory; size, of all files; unheld, of those that no image needs; and images, each as inspect shows it.`},
		"inspect": {Description: `With --json an image is an object with name, manifest, index (of which the manifest is one), config, platform, last_used, size, alone, and dropped if compressed layers are not kept; layers, from bottom to top, each with digest, diff_id, size (compressed), blob (it is here), images (files made of it, with name and size) and shared (how many other images have it); artifacts, which were made of the whole image; and problems, if something is missing or damaged.`,
			Arguments: `An image is a name, as for oci-fetch, or the digest of a manifest or index, of which eight digits are enough if no other begins with them. A name may stand for images of several platforms.`},
		"rm": {Description: `Files that other images need stay. Files that no image needed before stay, too: they are for prune.

With --json there is an object as for prune.`},
		"prune": {Description: `First the files go that no image needs and no process uses. Without options that is all. Then whole images go: their names, and the files that they alone need. An image that a process uses stays.

With --json there is an object with images, each with name, manifest and platform; files, each with name and size; freed; size, of what is left; and in_use, of what is left only because a process uses it.`,
			Flags: map[string]string{
				"max-size":   "Parts of downloads do not count; they go after a week.",
				"older-than": "An image is used whenever oci-fetch or oci-materialize takes it, from the cache or not.",
			}},
		"verify": {Description: `Blobs must have their digests, EROFS images the UUID that follows from their content, and flat images the digest in their records. A disk must name images that are there, and each name of an image must have all that belongs to it. Whatever does not is named, in a line, and the exit code is 1 unless all of it was repaired. Of what another version of the tools has made, only the records and the forms of the files are checked.

With --json there is an object with files and bytes, that were checked; faults, each with file, what and, if something was done, repair; and foreign, names of files that are not of the cache.`,
			Flags: map[string]string{
				"repair": "An image that lacks only compressed layers keeps its name, and they are fetched when something needs them. One that lacks more loses its name.",
			}},
	},
	Examples: []cli.Example{
		{Text: "What is there, and what one image consists of", Command: "oci-cache ls\noci-cache inspect alpine"},
		{Text: "Every night: what was not used for a month, and at most 20 GiB", Command: "oci-cache prune --quiet --older-than=30d --max-size=20G"},
		{Text: "After a disk error", Command: "oci-cache verify --repair"},
	},
	SeeAlso: []string{"oci-fetch", "oci-materialize"},
}).With(cachedir.About)
