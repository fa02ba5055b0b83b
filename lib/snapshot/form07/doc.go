// Package form07 has the records of a snapshot in the form of microsandbox 0.7: the
// descriptor, the files of a group of snapshots, and the inventory of an archive. What it
// says was tried with msb 0.7.2.
//
// # The directory
//
//	GROUP/group.json                    which snapshot the group stands for
//	GROUP/.group.lock                   empty
//	GROUP/SNAPSHOT/snapshot.json        the descriptor
//	GROUP/SNAPSHOT/metadata.json        labels, if there are any
//	GROUP/SNAPSHOT/group-member.json    a name in the group, if it has one
//	GROUP/SNAPSHOT/layers/LAYER.raw     the disk, or the oldest part of it
//	GROUP/SNAPSHOT/layers/LAYER.qcow2   what changed since
//
// SNAPSHOT is snap_ and 32 hex digits, LAYER layer_ and 32 hex digits. Both are opaque; the
// digest of a snapshot is another thing, the SHA-256 of its descriptor.
//
// # The descriptor
//
// It is JSON in the form of RFC 8785: no white space, all keys in the order of their UTF-16
// code units. Every key is there, null or not; root_disk may be missing when it is read.
//
//	key             rule
//	schema          "microsandbox.snapshot/1"
//	snapshot_id     SNAPSHOT
//	scope           "file", or "checkpoint" with memory, which is refused here
//	parent          SNAPSHOT or null
//	image           reference, not empty; manifest_digest, sha256
//	root_disk       layout: "managed" or "flat"
//	capture         created_at, RFC 3339 with nine digits and Z; consistency:
//	                "crash-consistent", "filesystem-consistent" or "application-consistent";
//	                source_lineage and source_checkpoint: string or null
//	state           kind "file", filesystem (not empty), layers (1 to 256, oldest first);
//	                and of the last layer: head (its id), disk_format, virtual_size
//	extensions      object; its numbers are integers within +-(2^53-1)
//	requires        keys of extensions, ascending
//
//	layer: layer_id; format; virtual_size, at most 2^53-1; backing, the id of the layer
//	before or null; payload: file_kind "regular", integrity
//
//	integrity is null, or: algorithm, digest ("sha256:...")
//	or: algorithm, root ("blake3:..."), logical_size (that of the file), leaf_size (65536)
//
// The first layer has no backing, and the others are qcow2. So a disk that is complete in
// one raw file has one layer. A raw file that is the first of several is a state long gone.
//
// # The archive
//
// Its members are, for each snapshot, snapshots/SNAPSHOT/snapshot.json, perhaps
// snapshots/SNAPSHOT/metadata.json, and layers/LAYER.raw; then files of the image; then
// archive.json, the [Inventory]. A reader accepts any order. A layer that several snapshots
// have is there once.
package form07
