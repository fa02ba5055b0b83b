// Package oci opens container images wherever they lie and writes them as OCI
// archives. It reads registries, OCI image layouts (directories), OCI archives
// and the archives of `docker save`, the latter two also from a pipe, and yields
// for each image its manifest, its configuration and its layers.
//
// Nothing is believed that no digest vouches for: manifests and configurations
// are verified before they are parsed, layers while they are read. Names in an
// archive are keys of a map, never paths of the file system; a digest becomes a
// path only after it was validated.
//
// What comes from a registry goes into a cache, if there is one, and is taken from
// there the next time: see Options.Cache and PullPolicy. Several layers arrive at a
// time, in the cache or in spool files, and can be read while they do.
//
// Archives may be compressed with gzip or zstd, and their names may begin with "./".
// From a pipe, or compressed, the contents of their entries go to a spool file as they
// are, layers compressed if they were.
//
// Of an index those entries count that are images or indexes; what else there is, and
// what is not there, is passed over.
//
// Images of a docker archive have no manifest. They get one: the canonical OCI
// manifest over their uncompressed layers, so that the same image has the same
// digest whoever saved it. An archive that docker 25 or newer wrote has an OCI
// index too, and counts as an OCI archive.
//
// Symbolic links in a layout directory are followed wherever they lead, since
// build systems assemble layouts from links; what they lead to must be a regular
// file. Links in an archive lead to other entries of the archive.
//
// Not supported: Docker schema 1 manifests, archives of docker before 1.10 (no
// manifest.json), encrypted layers, sparse files as entries of an archive.
// Layers that can be had only from foreign URLs need Options.AllowForeign.
package oci
