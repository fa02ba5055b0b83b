// Package cas keeps blobs under their digests in a directory that is an OCI
// image layout, so that skopeo, crane and podman read it as it stands:
//
//	oci-layout                   says that it is a layout, and of which version
//	index.json                   complete images, by reference
//	blobs/ALGORITHM/HEX          blobs: complete, verified, never written again
//	tmp/ALGORITHM-HEX.part       what has arrived of a blob
//	tmp/ALGORITHM-HEX.ranges     which ranges of it (see journal.go)
//	locks/NAME                   empty; held by flock by whoever writes NAME
//
// skopeo takes the first entry of a name, so what was listed last comes first, and
// finds by name only OCI manifests, not docker's (1.9 at least). crane reads all.
//
// (refs.json, layers/, fsmeta/, vmdk/ and rootfs/ belong to later packages.)
//
// The rules that let many processes share it, and any of them be killed:
//
//   - What has a name in blobs/ is complete and durable: a blob is verified,
//     synced, and then renamed to there. So readers take no lock.
//   - Who writes a blob holds its lock, and looks once more whether it is there
//     after getting the lock. The kernel lets go of a lock when its holder dies.
//   - A lock file may be removed by its holder. Who has waited for it makes sure
//     that it is still the file of that name, and otherwise starts again.
//   - What a killed process leaves is a part, which the next one goes on with, and
//     perhaps an empty lock file or the ranges of a finished blob, which mean
//     nothing. Nothing needs a repair.
//   - index.json is replaced as a whole, under its lock.
//
// Where the directory cannot be written (it is read-only, somebody else's, full,
// or its file system has no locks) what is there is still served, and what would
// write fails with ErrStore, so that the caller can go on without storing.
//
// Whatever is made in the directory takes the permissions of the directory
// itself, whatever the umask: one that a group may write stays one that the group
// may write.
package cas
