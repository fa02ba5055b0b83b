package gunzip_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"os"

	"ocipipe/lib/gunzip"
)

// A Reader takes all members of a stream, and verifies their checksums.
func Example() {
	var packed bytes.Buffer
	for _, text := range []string{"first member\n", "second member\n"} {
		w := gzip.NewWriter(&packed)
		io.WriteString(w, text)
		w.Close()
	}

	r := gunzip.NewReader(&packed)
	defer r.Close()
	r.Ahead(1) // one goroutine more, for large streams
	if _, err := io.Copy(os.Stdout, r); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first member
	// second member
}
