// erofs-patch merges images, applies a list of changes to the merged tree, and writes the
// difference, or the whole changed tree, as a tree stream.
//
//	erofs-patch --lower base.erofs patches.json | mkext4upper --tree - --size 4G -o upper.ext4
package main

import "ocipipe/cmd/internal/erofspatch"

func main() { erofspatch.Main() }
