// Bigtar writes large tar archives to standard output, the same bytes each time:
// inputs of benchmarks that no package archive has.
//
//	go run ./lib/reftest/bigtar large     # 620 MB in 22 files
//	go run ./lib/reftest/bigtar onedir    # 50,000 small files in one directory
//	go run ./lib/reftest/bigtar medium    # 12 MB: more than all pipes hold
//	go run ./lib/reftest/bigtar layer 3 4000    # 4,000 small files, twenty in a directory, below layer3
package main

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// kinds are the archives that can be written, with how many numbers each needs.
var kinds = map[string]kind{
	"large": {0, func(a *archive, _ []int) {
		a.add("data/", 0)
		for i := range int64(20) {
			a.add(fmt.Sprintf("data/%02d", i), 12_000_000+i*i*50_001)
		}
		a.add("data/disk1", 150_000_000)
		a.add("data/disk2", 620_000_000-a.bytes)
	}},
	"medium": {0, func(a *archive, _ []int) {
		for i := range int64(300) {
			a.add(fmt.Sprintf("file-%03d", i), i*271)
		}
	}},
	"onedir": {0, func(a *archive, _ []int) {
		a.add("many/", 0)
		for i := range 50_000 {
			a.add(fmt.Sprintf("many/file-%05d.txt", i*7919%50_000), int64(i%997))
		}
	}},
	"layer": {2, func(a *archive, n []int) {
		a.add(fmt.Sprintf("layer%d/", n[0]), 0)
		for i := range n[1] {
			dir := fmt.Sprintf("layer%d/package-%d/", n[0], i/20)
			if i%20 == 0 {
				a.add(dir, 0)
			}
			a.add(fmt.Sprintf("%sfile-%d.txt", dir, i%20), int64(i%997))
		}
	}},
}

type kind struct {
	numbers int
	write   func(a *archive, numbers []int)
}

func main() {
	k, numbers, ok := arguments(os.Args[1:])
	if !ok {
		fmt.Fprintln(os.Stderr, "usage: bigtar large|medium|onedir|layer NUMBER FILES")
		os.Exit(2)
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	a := &archive{tar: tar.NewWriter(out), random: rand.NewChaCha8([32]byte{'o', 'c', 'i'})}
	a.add("./", 0)
	k.write(a, numbers)
	a.keep(a.tar.Close())
	a.keep(out.Flush())
	if a.err != nil {
		fmt.Fprintf(os.Stderr, "bigtar: %v\n", a.err)
		os.Exit(1)
	}
}

func arguments(args []string) (k kind, numbers []int, ok bool) {
	if len(args) == 0 {
		return k, nil, false
	}
	k, ok = kinds[args[0]]
	for _, arg := range args[1:] {
		n, err := strconv.Atoi(arg)
		ok = ok && err == nil
		numbers = append(numbers, n)
	}
	return k, numbers, ok && len(numbers) == k.numbers
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
