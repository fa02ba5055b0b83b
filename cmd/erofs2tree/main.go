// erofs2tree reads an EROFS image, or merges the images of several layers, and writes
// the content as a tree stream, in canonical order.
//
//	erofs2tree rootfs.erofs | tree2tar > rootfs.tar
package main

import "ocipipe/cmd/internal/erofs2tree"

func main() { erofs2tree.Main() }
