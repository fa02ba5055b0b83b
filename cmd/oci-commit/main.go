// oci-commit makes a new image of a base image and layers that go on it, with a changed
// configuration, as an OCI archive, an archive of docker save, or in an OCI layout.
//
//	ext42tree --upper upper.ext4 | tree2tar --oci -z gzip | oci-commit --base alpine --layer - -o image.tar
package main

import "ocipipe/cmd/internal/ocicommit"

func main() { ocicommit.Main() }
