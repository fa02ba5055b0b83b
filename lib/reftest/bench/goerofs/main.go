// Goerofs is a peer of "tar2tree | tree2erofs" in the benchmark: the shortest
// loop from a tar on standard input to an image, over github.com/erofs/go-erofs.
//
//	goerofs IMAGE < layer.tar
package main

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/erofs/go-erofs"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: goerofs IMAGE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "goerofs: %v\n", err)
		os.Exit(1)
	}
}

func run(image string) error {
	out, err := os.Create(image)
	if err != nil {
		return err
	}
	defer out.Close()
	w := erofs.Create(out, erofs.WithTempDir(filepath.Dir(image)), erofs.WithBuildTime(0, 0))
	in := tar.NewReader(bufio.NewReaderSize(os.Stdin, 1<<20))
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = add(w, in, h)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}

func add(w *erofs.Writer, in io.Reader, h *tar.Header) error {
	name := path.Join("/", h.Name)
	err := create(w, in, h, name)
	if err == nil && h.Typeflag != tar.TypeSymlink {
		err = w.Chmod(name, h.FileInfo().Mode())
	}
	if err == nil {
		err = w.Chown(name, h.Uid, h.Gid)
	}
	if err == nil {
		err = w.Chtimes(name, h.ModTime, h.ModTime)
	}
	for key, value := range h.PAXRecords {
		if attr, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok && err == nil {
			err = w.Setxattr(name, attr, value)
		}
	}
	return err
}

func create(w *erofs.Writer, in io.Reader, h *tar.Header, name string) error {
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "/" {
			return nil
		}
		return w.Mkdir(name, 0o755)
	case tar.TypeSymlink:
		return w.Symlink(h.Linkname, name)
	case tar.TypeReg:
		f, err := w.Create(name)
		if err == nil {
			_, err = io.Copy(f, in)
		}
		if err == nil {
			err = f.Close()
		}
		return err
	}
	return errors.New(name + ": a type that this loop does not know")
}
