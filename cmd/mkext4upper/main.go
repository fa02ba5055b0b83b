// mkext4upper makes the writable disk for an overlay: an ext4 file system with an empty
// /work, and with /upper, which is empty or holds the tree of a stream. It also makes such
// a disk, or any ext4 file system, larger.
//
//	mkext4upper --size 4G -o upper.ext4
//	tar2tree --input layer < changes.tar | mkext4upper --tree - --size 4G -o upper.ext4
//	mkext4upper --grow upper.ext4 --size 16G
package main

import "ocipipe/cmd/internal/mkext4upper"

func main() { mkext4upper.Main() }
