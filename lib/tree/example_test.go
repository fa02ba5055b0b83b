package tree_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"ocipipe/lib/tree"
)

// Write a stream of two entries and read it again.
func Example() {
	var stream bytes.Buffer
	w := tree.NewWriter(&stream, tree.WriterOptions{Stage: "example"})
	for _, e := range []tree.Entry{
		{Path: ".", Type: tree.Dir, Mode: 0o755},
		{Path: "etc/hostname", Type: tree.File, Mode: 0o644, Size: 4, Content: tree.Bytes("vm1\n")},
	} {
		if err := w.Add(&e); err != nil {
			w.Abort(err)
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	r, err := tree.NewReader(&stream, tree.ReaderOptions{NeedData: true})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	src := tree.Limit(r, tree.Limits{}) // the default limits: the input may be hostile
	for {
		e, err := src.Next()
		if err == io.EOF {
			break // the stream is complete and its checksum is right
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %04o\n", e.Path, e.Type, e.Mode)
		if e.Content != nil {
			e.Content.WriteTo(os.Stdout)
		}
	}
	// Output:
	// . dir 0755
	// etc/hostname file 0644
	// vm1
}

// A reader finds out why the writer of a stream has failed.
func ExampleCopy() {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(fmt.Errorf("no longer needed"))

	var stream bytes.Buffer
	err := tree.Copy(ctx, tree.NewWriter(&stream, tree.WriterOptions{Stage: "example"}), tree.New().Source(tree.Flat))
	fmt.Println(err)

	r, err := tree.NewReader(&stream, tree.ReaderOptions{})
	if err == nil {
		_, err = r.Next()
	}
	fmt.Println(err)
	// Output:
	// no longer needed
	// earlier stage failed: example: no longer needed
}

// The content of a sparse file in memory, read as a machine sees it.
func ExampleEntry_ReaderAt() {
	extents := []tree.Extent{{Off: 4, Len: 3}}
	e := &tree.Entry{
		Path: "sparse", Type: tree.File, Mode: 0o644, Size: 8, Extents: extents,
		Content: tree.WithHoles(tree.Bytes("abc"), 8, extents),
	}
	r, ok := e.ReaderAt()
	if !ok {
		log.Fatal("comes from a stream")
	}
	p := make([]byte, 4)
	_, err := r.ReadAt(p, 3)
	fmt.Printf("%q %v\n", p, err)
	// Output: "\x00abc" <nil>
}
