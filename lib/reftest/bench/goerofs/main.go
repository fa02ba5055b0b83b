// Goerofs is a peer in the benchmark: short loops over github.com/erofs/go-erofs. pack makes
// an image of a tar on standard input. index makes an image of its metadata, with the data
// in a separate file. merge makes an image of the metadata of several of those.
//
//	goerofs pack IMAGE < layer.tar
//	goerofs index IMAGE DATA < layer.tar
//	goerofs merge IMAGE INDEX DATA [INDEX DATA]...
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
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: goerofs pack|index|merge IMAGE [FILE...]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintf(os.Stderr, "goerofs: %v\n", err)
		os.Exit(1)
	}
}

func run(what, image string, files []string) error {
	out, err := os.Create(image)
	if err != nil {
		return err
	}
	defer out.Close()
	opts := []erofs.CreateOpt{erofs.WithTempDir(filepath.Dir(image)), erofs.WithBuildTime(0, 0)}
	if what == "index" {
		data, err := os.Create(files[0])
		if err != nil {
			return err
		}
		defer data.Close()
		opts = append(opts, erofs.WithDataFile(data))
	}
	w := erofs.Create(out, opts...)
	if what == "merge" {
		for i := 0; i < len(files); i += 2 {
			err = errors.Join(err, merge(w, files[i], files[i+1]))
		}
	} else {
		err = pack(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err
	}
	return out.Close()
}

func merge(w *erofs.Writer, index, data string) error {
	f, err := os.Open(index)
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := os.Open(data)
	if err != nil {
		return err
	}
	defer d.Close()
	layer, err := erofs.Open(f, erofs.WithExtraDevices(d))
	if err != nil {
		return err
	}
	return w.CopyFrom(layer, erofs.MetadataOnly(), erofs.Merge())
}

func pack(w *erofs.Writer) error {
	in := tar.NewReader(bufio.NewReaderSize(os.Stdin, 1<<20))
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = add(w, in, h)
		}
		if err != nil {
			return err
		}
	}
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
