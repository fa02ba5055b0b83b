// tree2ext4 reads a tree stream and writes an ext4 root file system, in one pass.
//
//	oci-fetch IMAGE | tar2tree | tree2ext4 --free-space 1G -o rootfs.ext4
package main

import "ocipipe/cmd/internal/tree2ext4"

func main() { tree2ext4.Main() }
