// tree2tar reads a tree stream and writes a tar archive in the pax format.
//
//	erofs2tree rootfs.erofs | tree2tar -z zstd > rootfs.tar.zst
package main

import "ocipipe/cmd/internal/tree2tar"

func main() { tree2tar.Main() }
