package blockio_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"strings"

	"ocipipe/lib/blockio"
)

// Write a file from an offset on, and hash what is written.
func ExampleWriter() {
	f, err := os.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()

	h := sha256.New()
	w := blockio.NewWriter(f, 512)
	w.Tap(h)
	fmt.Fprint(w, "data")
	if err := w.Zero(1024); err != nil {
		log.Fatal(err)
	}
	if err := w.Flush(); err != nil { // the first error of all writes
		log.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Size(), w.Offset(), bytes.Equal(h.Sum(nil), sum("data"+strings.Repeat("\x00", 508))))
	// Output: 1024 1024 true
}

func sum(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// A Spool keeps what a pipe cannot give twice.
func ExampleSpool() {
	spool, err := blockio.NewSpool("") // in $TMPDIR, without a name
	if err != nil {
		log.Fatal(err)
	}
	defer spool.Close()
	fmt.Fprint(spool, "first, second")
	b := make([]byte, 6)
	if _, err := spool.ReadAt(b, 7); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s of %d bytes\n", b, spool.Size())
	// Output: second of 13 bytes
}
