// oci-cache shows what is in the cache that oci-fetch and oci-materialize use, removes
// images from it, prunes it to a size or an age, and verifies its files.
//
//	oci-cache ls
//	oci-cache prune --max-size 20G
package main

import "ocipipe/cmd/internal/ocicache"

func main() { ocicache.Main() }
