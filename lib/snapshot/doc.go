// Package snapshot makes, checks and restores snapshots of the writable disk of a virtual
// machine: artifacts that hold the disk and pin the image below it, in the forms of
// microsandbox. Packages below it do the parts:
//
//	fault       how a snapshot can be wrong: the errors of all of them
//	strictjson  JSON that forgives nothing, and its canonical form
//	integrity   the Merkle root of a disk, and the older digests
//	archive     the container: tar with sparse members, in zstd or plain, as a stream
//	form        what the forms have in common
//	form06      the form of microsandbox 0.6: descriptor, names, inventory of an archive
//	form07      that of 0.7: descriptor, files of a group, names, inventory
//	imagefiles  the files of the image below that an archive may hold
//
// A form has its descriptor, its layout of a directory and its grammar of an archive; it
// shares JSON, integrity and container with the others.
//
// # What is not known to hold
//
// microsandbox checks little of the content of an archive when it loads one; Verify and
// Unpack check all of it. It does not take the files of an image if the root of a layer has
// an extended attribute, as that of a layer has whose tar does not state its root.
package snapshot
