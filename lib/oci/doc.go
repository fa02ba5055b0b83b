// Package oci opens container images in files and writes them as OCI archives. It reads
// OCI image layouts (directories), OCI archives and the archives of `docker save`, the
// latter two from pipes too, and yields for each image its manifest, its configuration
// and its layers. Package pull, on top of this one, opens images in registries; a program
// that imports only this one links no network.
//
// The packages below lib/oci, each of which may import those above it in this list:
//
//	manifest    the JSON documents of an image, and descriptors
//	printable   foreign text, fit to be shown
//	oci         the model of an image, its local sources, the writer of archives
//	hosts       registries.conf and certs.d
//	conn        connections
//	login       credentials, and logging in
//	registry    repositories of registries: manifests and blobs, read and written
//	pull        images by any reference, with a cache
//	push        images to registries
//	ocitest     images for tests
//
// An image is read from a [Source]. To read images from elsewhere, implement one and
// call [Load].
//
// The package believes only bytes that a digest vouches for: it verifies manifests and
// configurations before it parses them, and layers while they are read. Names in an
// archive are keys of a map, never paths of the file system; a digest becomes a path only
// after it was validated.
//
// Archives may be compressed with gzip or zstd, and their names may begin with "./".
// If an archive is compressed or comes from a pipe, the contents of its entries go to a
// spool file. Compressed layers stay compressed.
//
// Only the entries of an index that are images or indexes count. The package skips all
// others, and entries whose blobs are missing.
//
// Images of a docker archive have no manifest. They get one: the canonical OCI
// manifest over their uncompressed layers, so that the same image has the same
// digest whichever program saved it. An archive that docker 25 or newer wrote has an OCI
// index too, and counts as an OCI archive.
//
// Symbolic links in a layout directory are followed wherever they lead, since
// build systems assemble layouts from links; what they lead to must be a regular
// file. Links in an archive lead to other entries of the archive.
//
// Not supported: Docker schema 1 manifests, archives of docker before 1.10 (no
// manifest.json), encrypted layers, sparse files as entries of an archive.
package oci
