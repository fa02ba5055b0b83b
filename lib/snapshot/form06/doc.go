// Package form06 has the records of a snapshot in the form of microsandbox 0.6, schema 1:
// the descriptor, which is the identity of a snapshot, and the inventory of an archive.
//
// # The descriptor, snapshot.json
//
// It is compact JSON without white space, and its keys have this order:
//
//	key             type            rule
//	schema          integer         1
//	artifact        string          "snapshot"
//	scope           string          "disk" or "resumable"
//	created_at      string          RFC 3339; see [Time]
//	parent          string or null  identity of a snapshot
//	image           object          ref, not empty; manifest_digest, sha256
//	source_sandbox  string or null  free
//	state           object          by its kind: "file" or "checkpoint"
//	labels          object          of strings
//	extensions      object          of any JSON
//	requires        array           keys of extensions, ascending
//
//	state of kind file: kind, format ("raw" or "qcow2"), fstype (not empty),
//	upper: file (one name), size_bytes (at most 2^53-1), integrity
//
//	state of kind checkpoint: kind, checkpoint_id (not empty), manifest (sha256)
//
//	integrity is null, or: algorithm, digest ("sha256:...")
//	or: algorithm, root ("blake3:..."), logical_size (that of the file), leaf_size (65536)
//
// Every key is there, null or not. The identity is the SHA-256 of these bytes: a
// descriptor that is spelled otherwise is read, and has the identity of its canonical form.
//
// # The archive
//
// Its members are, for each snapshot, snapshots/ID/snapshot.json and, if its state is a
// file, files/ID/FILE, where ID is the 64 hex digits of the identity; then files of
// the image; then archive.json, the [Inventory]. A reader accepts any order.
package form06
