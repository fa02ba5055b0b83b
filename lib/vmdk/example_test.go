package vmdk_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"ocipipe/lib/vmdk"
)

// Two images become one disk: by a descriptor that names them, and as a disk that
// contains them, compressed.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var paths []string
	for i, name := range []string{"meta.img", "layer.img"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Repeat([]byte{byte(i)}, 8192), 0o600); err != nil {
			log.Fatal(err)
		}
		paths = append(paths, path)
	}

	disk, err := vmdk.Open(paths)
	if err != nil {
		log.Fatal(err)
	}
	defer disk.Close()
	desc, err := disk.Descriptor(vmdk.FlatOptions{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range desc.Lines {
		fmt.Println(line.Name, line.Sectors)
	}

	var stream bytes.Buffer
	if err := disk.WriteStream(context.Background(), &stream, vmdk.StreamOptions{}); err != nil {
		log.Fatal(err)
	}
	s, err := vmdk.OpenStream(bytes.NewReader(stream.Bytes()), int64(stream.Len()))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Size(), "bytes in the stream")
	// Output:
	// meta.img 16
	// layer.img 16
	// 16384 bytes in the stream
}
