// oci-materialize makes all that a virtual machine needs of an image, in a cache: an EROFS
// image of each layer, one of metadata that merges them, and a VMDK descriptor over all; or
// one flat image, and an upper disk. It prints JSON that names them. With --compress it
// compresses the EROFS images.
//
//	oci-materialize docker.io/library/alpine
package main

import "ocipipe/cmd/internal/ocimaterialize"

func main() { ocimaterialize.Main() }
