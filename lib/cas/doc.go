// Package cas keeps blobs under their digests in a directory that is an OCI
// image layout, so that skopeo, crane and podman read it as it stands:
//
//	oci-layout                   marks the directory as a layout of a version
//	index.json                   complete images, by reference
//	refs.json                    images without the blobs of their layers, by reference
//	index.json.damaged           what index.json was when SetRef found it damaged; also refs.json.damaged
//	blobs/ALGORITHM/HEX          blobs: complete, verified, never written again
//	KIND/ABI/ALGORITHM/HEX.EXT   artifacts: files derived from blobs (see Artifact)
//	tmp/ALGORITHM-HEX.part       the part of a blob that has arrived
//	tmp/ALGORITHM-HEX.ranges     which ranges have arrived (see journal.go)
//	tmp/KIND_ABI_...             an artifact that is being made
//	locks/NAME                   empty; the writer of NAME holds it by flock
//	locks/use-ID-N               names of files that a process works with, and holds by flock
//	locks/prune                  empty; who removes unused files holds it (see Sweep)
//
// skopeo takes the first entry with a name, so the newest entry comes first. By name it
// finds only OCI manifests, not docker's (as of 1.9). crane reads all entries.
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
//   - An artifact is built under its lock, synced, and renamed to its name. What a killed
//     process leaves of one is of no use, and removed by the next that makes it.
//   - index.json and refs.json are replaced as a whole, under one lock.
//   - Nothing is removed that a Use names, and no Use begins while a Sweep removes files.
//
// If the directory cannot be written (it is read-only, another user's, full, or its file
// system has no locks), blobs in it are still served, and writing fails with ErrStore, so
// that the caller can go on without storing.
//
// Files and directories are made with the permissions of the cache directory, whatever
// the umask: a cache that a group may write stays writable for the group.
package cas
