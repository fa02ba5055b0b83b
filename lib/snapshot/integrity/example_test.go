package integrity_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"ocipipe/lib/snapshot/integrity"
)

// The root of 4 GiB, of which a few bytes are data.
func ExampleRoot() {
	f, err := os.CreateTemp("", "disk")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const size = 4 << 30
	if err := f.Truncate(size); err != nil {
		log.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("Z"), size-1); err != nil {
		log.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0x53, 0xef}, 1024); err != nil {
		log.Fatal(err)
	}
	root, err := integrity.Root(context.Background(), integrity.File(f, size), size)
	fmt.Println(root, err)
	// Output: blake3:edc5ad4c1125ad8832707195f334ccbca09adb90bab8d63cb5a3ea7dcd6a2ac7 <nil>
}
