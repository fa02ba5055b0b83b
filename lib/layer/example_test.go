package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// archiveOf is a layer of files with their names as content.
func archiveOf(names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(name))})
		io.WriteString(w, name)
	}
	w.Close()
	return b.Bytes()
}

// Two layers are merged to a tree stream; the upper one deletes a file of the lower.
func ExampleMerge() {
	var inputs []layer.Input
	for i, data := range [][]byte{archiveOf("etc/motd", "etc/hosts"), archiveOf("etc/.wh.motd", "bin/sh")} {
		inputs = append(inputs, layer.Input{
			Name: fmt.Sprint("layer ", i),
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		})
	}
	ctx := context.Background()
	merged, err := layer.Merge(ctx, inputs, layer.LoadOptions{}) // contents lie in $TMPDIR
	if err != nil {
		log.Fatal(err)
	}
	defer merged.Close()

	var stream bytes.Buffer
	if err := tree.Copy(ctx, tree.NewWriter(&stream, tree.WriterOptions{}), merged.Source(tree.Flat)); err != nil {
		log.Fatal(err)
	}
	fmt.Print(stream.String())
	// Output:
	// #mtree ocipipe-tree 1 data=inline
	// . type=dir mode=0755 uid=0 gid=0 time=0.000000000
	// ./bin type=dir mode=0755 uid=0 gid=0 time=0.000000000
	// ./bin/sh type=file mode=0644 uid=0 gid=0 time=0.000000000 size=6
	// bin/sh
	// ./etc type=dir mode=0755 uid=0 gid=0 time=0.000000000
	// ./etc/hosts type=file mode=0644 uid=0 gid=0 time=0.000000000 size=9
	// etc/hosts
	// #end records=5 bytes=15 crc32=d965a6c9
}

// A single layer is read as it is, in one pass.
func ExampleNewReader() {
	r, err := layer.NewReader(bytes.NewReader(archiveOf("etc/.wh.motd", "bin/sh")), layer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Path, e.Type, "whiteout:", e.IsWhiteout())
	}
	// Output:
	// bin/sh file whiteout: false
	// etc/motd char whiteout: true
}
