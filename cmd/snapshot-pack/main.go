// snapshot-pack makes snapshots of the writable disk of a virtual machine, in the forms of
// microsandbox, and checks and unpacks them.
//
//	snapshot-pack create --upper upper.ext4 --image alpine@sha256:... -o base.tar.zst
//	snapshot-pack verify base.tar.zst
//	snapshot-pack unpack -C snapshots < base.tar.zst
package main

import "ocipipe/cmd/internal/snapshotpack"

func main() { snapshotpack.Main() }
