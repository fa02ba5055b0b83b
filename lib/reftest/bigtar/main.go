// Bigtar writes large tar archives to standard output, the same bytes each time:
// inputs of benchmarks that no package archive has.
//
//	go run ./lib/reftest/bigtar large     # 620 MB in 22 files
//	go run ./lib/reftest/bigtar onedir    # 50,000 small files in one directory
//	go run ./lib/reftest/bigtar medium    # 12 MB: more than all pipes hold
package main

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

var kinds = map[string]func(*archive){
	"large": func(a *archive) {
		a.add("data/", 0)
		for i := range int64(20) {
			a.add(fmt.Sprintf("data/%02d", i), 12_000_000+i*i*50_001)
		}
		a.add("data/disk1", 150_000_000)
		a.add("data/disk2", 620_000_000-a.bytes)
	},
	"medium": func(a *archive) {
		for i := range int64(300) {
			a.add(fmt.Sprintf("file-%03d", i), i*271)
		}
	},
	"onedir": func(a *archive) {
		a.add("many/", 0)
		for i := range 50_000 {
			a.add(fmt.Sprintf("many/file-%05d.txt", i*7919%50_000), int64(i%997))
		}
	},
}

func main() {
	if len(os.Args) != 2 || kinds[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: bigtar large|medium|onedir")
		os.Exit(2)
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	a := &archive{tar: tar.NewWriter(out), random: rand.NewChaCha8([32]byte{'o', 'c', 'i'})}
	a.add("./", 0)
	kinds[os.Args[1]](a)
	a.keep(a.tar.Close())
	a.keep(out.Flush())
	if a.err != nil {
		fmt.Fprintf(os.Stderr, "bigtar: %v\n", a.err)
		os.Exit(1)
	}
}

// archive is a tar of files that cannot be compressed, and its first error.
type archive struct {
	tar    *tar.Writer
	random *rand.ChaCha8
	bytes  int64
	err    error
}

// add appends a file, or a directory if the name ends in a slash.
func (a *archive) add(name string, size int64) {
	h := &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(1700000000, 0), Format: tar.FormatPAX}
	if name[len(name)-1] == '/' {
		h.Mode, h.Typeflag = 0o755, tar.TypeDir
	}
	a.keep(a.tar.WriteHeader(h))
	_, err := io.CopyN(a.tar, a.random, size)
	a.keep(err)
	a.bytes += size
}

func (a *archive) keep(err error) {
	if a.err == nil {
		a.err = err
	}
}
