// tree2erofs reads a tree stream and writes an EROFS image of a whole tree or, with
// --layer, of one layer with its whiteouts. With --fsmeta it reads the images of layers and
// writes an image of metadata alone, which merges them.
// With --compress it compresses contents.
//
//	oci-fetch oci:DIR:TAG | tar2tree | tree2erofs > rootfs.erofs
package main

import "ocipipe/cmd/internal/tree2erofs"

func main() { tree2erofs.Main() }
