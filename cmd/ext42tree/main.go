// ext42tree reads an ext4 file system, or of the upper disk of an overlay what was changed
// there, and writes it as a tree stream, in canonical order.
//
//	ext42tree --upper upper.ext4 | tree2tar --oci -z zstd > layer.tar.zst
package main

import "ocipipe/cmd/internal/ext42tree"

func main() { ext42tree.Main() }
