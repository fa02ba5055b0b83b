// wrap-vmdk presents images, one after the other, as one virtual disk: by a VMDK
// descriptor that names them, or by a disk that contains them.
//
//	wrap-vmdk -o disk.vmdk fsmeta.erofs 000.erofs 001.erofs
package main

import "ocipipe/cmd/internal/wrapvmdk"

func main() { wrapvmdk.Main() }
