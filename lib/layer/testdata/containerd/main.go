// containerd-apply unpacks layers, tars given from bottom to top, into a
// directory, with the code that containerd unpacks images with. It is a module of
// its own so that ocipipe does not depend on containerd.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/pkg/archive"
)

func main() {
	for _, name := range os.Args[2:] {
		if err := apply(os.Args[1], name); err != nil {
			fmt.Fprintf(os.Stderr, "containerd-apply: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

func apply(root, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = archive.Apply(context.Background(), root, f)
	return err
}
