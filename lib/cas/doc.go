// Package cas keeps blobs under their digests in a directory that is an OCI
// image layout, so that skopeo, crane and podman read it as it stands:
//
//	oci-layout                   marks the directory as a layout of a version
//	index.json                   complete images, by reference
//	blobs/ALGORITHM/HEX          blobs: complete, verified, never written again
//	tmp/ALGORITHM-HEX.part       the part of a blob that has arrived
//	tmp/ALGORITHM-HEX.ranges     which ranges have arrived (see journal.go)
//	locks/NAME                   empty; the writer of NAME holds it by flock
//
// skopeo takes the first entry with a name, so the newest entry comes first. By name it
// finds only OCI manifests, not docker's (as of 1.9). crane reads all entries.
//
// (refs.json, layers/, fsmeta/, vmdk/ and rootfs/ belong to later packages.)
//
// The rules that let many processes share it, and any of them be killed:
//
//   - A file in blobs/ is complete and durable: a blob is verified, synced, and then
//     renamed into blobs/. So readers take no lock.
//   - The writer of a blob holds its lock, and checks again whether the blob exists
//     after getting the lock. The kernel releases a lock when its holder dies.
//   - A lock file may be removed by its holder. A process that has waited for it checks
//     that the file still has that name, and otherwise starts again.
//   - A killed process leaves a part, which the next one continues, and perhaps an
//     empty lock file or the ranges of a finished blob, which have no effect. Nothing
//     needs a repair.
//   - index.json is replaced as a whole, under its lock.
//
// If the directory cannot be written (it is read-only, another user's, full, or its file
// system has no locks), blobs in it are still served, and writing fails with ErrStore, so
// that the caller can go on without storing.
//
// Files and directories are made with the permissions of the cache directory, whatever
// the umask: a cache that a group may write stays writable for the group.
package cas
