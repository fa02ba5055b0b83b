// tar2tree reads layers, or an image whose layers it merges, and writes a tree
// stream.
//
// Its input is one layer (a tar, plain or compressed with gzip or zstd), an image
// archive as oci-fetch, docker save, skopeo or podman write it, an image layout
// directory, several layers from bottom to top, or an image followed by layers that
// go on top of it.
//
//	tar2tree < layer.tar.gz | tree2erofs --layer > layer.erofs
package main

import "ocipipe/cmd/internal/tar2tree"

func main() { tar2tree.Main() }
