package cas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
)

// Keep a blob that arrives in pieces, in any order, and read it back. Another process
// that wants the same blob meanwhile waits in Begin, and finds it there.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := cas.Open(ctx, dir, cas.Options{})
	if err != nil {
		log.Fatal(err)
	}

	content := bytes.Repeat([]byte("content "), 1<<14)
	d := digest.FromBytes(content)
	part, err := store.Begin(ctx, d, int64(len(content)))
	if err != nil {
		log.Fatal(err)
	}
	defer part.Close() // without Commit what has arrived stays for the next Begin
	for _, r := range part.Missing() {
		middle := (r.Off + r.End) / 2
		for _, piece := range []cas.Range{{Off: middle, End: r.End}, {Off: r.Off, End: middle}} {
			if _, err := part.WriteAt(content[piece.Off:piece.End], piece.Off); err != nil {
				log.Fatal(err)
			}
		}
	}
	if err := part.Commit(ctx); err != nil { // verifies it
		log.Fatal(err)
	}

	blob, err := store.Blob(ctx, d)
	if err != nil {
		log.Fatal(err)
	}
	defer blob.Close()
	data, err := io.ReadAll(blob)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(data), bytes.Equal(data, content))
	_, err = store.Begin(ctx, d, int64(len(content)))
	fmt.Println("there already:", errors.Is(err, cas.ErrExists))
	// Output:
	// 131072 true
	// there already: true
}
