// oci-push uploads an image to a registry, from an OCI archive, an OCI image layout or an
// archive of docker save: one manifest, or an index with everything below it. It prints the
// digest.
//
//	oci-fetch alpine | oci-push registry.example.com/me/alpine:v1
package main

import "ocipipe/cmd/internal/ocipush"

func main() { ocipush.Main() }
