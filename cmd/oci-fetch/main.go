// oci-fetch reads an image from a registry, an OCI image layout, an OCI archive
// or an archive of docker save, and writes it as an OCI archive, or one part of
// it. Every byte it writes has been verified against its digest. What comes from
// a registry it keeps in a cache.
//
//	oci-fetch docker.io/library/alpine | tar2tree | tree2erofs > rootfs.erofs
package main

import "ocipipe/cmd/internal/ocifetch"

func main() { ocifetch.Main() }
