// Readfiles reads a mounted image that is cold, and writes a digest of what it has read:
//
//	readfiles IMAGE DIR          all regular files below DIR, one after the other
//	readfiles IMAGE DIR PLACES   one piece of 4 KiB for each line "NUMBER PATH" of PLACES
//
// First the kernel forgets what it holds of the file IMAGE: it has to be mounted at DIR anew, so
// that nothing of its contents is in memory either. That leaves alone what other processes use,
// and takes no time by itself. The kernel is told not to read ahead of the pieces.
package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: readfiles IMAGE DIR [PLACES]")
		os.Exit(2)
	}
	places := ""
	if len(os.Args) == 4 {
		places = os.Args[3]
	}
	if err := run(os.Stdout, os.Args[1], os.Args[2], places); err != nil {
		fmt.Fprintf(os.Stderr, "readfiles: %v\n", err)
		os.Exit(1)
	}
}

func run(w io.Writer, image, dir, places string) (err error) {
	if err := forget(image); err != nil {
		return err
	}
	hash := xxh3.New()
	if places == "" {
		err = sequential(hash, dir)
	} else {
		err = random(hash, dir, places)
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "%x\n", hash.Sum128().Bytes())
	}
	return err
}

// forget makes the kernel forget the contents of a file.
func forget(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil { // only what is on the disk can be forgotten
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// sequential reads all files, sorted by name.
func sequential(w io.Writer, dir string) error {
	buf := make([]byte, 1<<20)
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, buf)
		return err
	})
}

// piece is how much is read at one place, in bytes.
const piece = 4096

// random reads the pieces of which the file places has a list.
func random(w io.Writer, dir, places string) error {
	list, err := os.Open(places)
	if err != nil {
		return err
	}
	defer list.Close()
	buf := make([]byte, piece)
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		number, name, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", places, err)
		}
		if err := readPiece(filepath.Join(dir, name), n*piece, buf); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return lines.Err()
}

// readPiece fills buf with what is at off in a file.
func readPiece(name string, off int64, buf []byte) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := f.ReadAt(buf, off); err != nil {
		return fmt.Errorf("%s: at %d: %w", name, off, err)
	}
	return nil
}
