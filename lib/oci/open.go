package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ocipipe/lib/compression"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
)

// Open opens the image in a file or directory that ref names:
//
//	oci:DIR[:TAG|@DIGEST]        an OCI image layout
//	oci-archive:FILE[:TAG]       an archive of one; "-" is standard input
//	docker-archive:FILE[:TAG]    what docker save writes
//
// On Windows the colon behind a drive is one of DIR or FILE, where \ or / follows: oci:C:\dir:tag.
// The content decides what a file holds, whichever of the three ref says. Package pull
// opens images in registries.
//
// The end of ctx ends the opening, not the image; see Image.
func Open(ctx context.Context, ref string, opts Options) (*Image, error) {
	path, sel, err := splitRef(ref)
	if err != nil {
		return nil, err
	}
	return openPath(ctx, path, sel, opts)
}

// splitRef splits a reference to an image in a file.
func splitRef(ref string) (path string, sel selector, err error) {
	for _, scheme := range fileSchemes {
		if rest, ok := strings.CutPrefix(ref, scheme); ok {
			path, sel, err := splitPath(rest)
			if err == nil && path == "" {
				err = errors.New("names no file")
			}
			if err != nil {
				return "", sel, fmt.Errorf("%s: %w", ref, err)
			}
			return path, sel, nil
		}
	}
	return "", sel, fmt.Errorf("%s: not the name of a file: want oci:DIR, oci-archive:FILE or docker-archive:FILE", ref)
}

// OpenPath opens the only image of a layout directory or an archive file.
func OpenPath(ctx context.Context, path string, opts Options) (*Image, error) {
	return openPath(ctx, path, selector{}, opts)
}

// OpenArchive opens the only image of the archive in r. It reads r to its end, in the
// background, while the image is used; of a regular file it reads only the parts that it
// needs. Closing the image closes r, and so does an error; closing r must end a Read that
// is running. The end of ctx ends the opening, not the image.
func OpenArchive(ctx context.Context, r io.ReadCloser, opts Options) (*Image, error) {
	return openReader(ctx, r, selector{}, opts)
}

func openPath(ctx context.Context, path string, sel selector, opts Options) (*Image, error) {
	img, err := openFile(ctx, path, sel, opts)
	if err != nil {
		return nil, nameFile(path, err)
	}
	img.Name = displayName(path)
	return img, nil
}

// displayName returns the name of the file at path for messages.
func displayName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// nameFile adds the name of the file at path to err, unless err has it already.
func nameFile(path string, err error) error {
	if err == nil || errors.As(err, new(*os.PathError)) || strings.HasPrefix(err.Error(), displayName(path)+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", displayName(path), err)
}

func openFile(ctx context.Context, path string, sel selector, opts Options) (*Image, error) {
	f, err := opts.open(path)
	if err != nil {
		return nil, err
	}
	if isDir(f) {
		f.Close()
		return openDir(ctx, dir{path, opts.Reads}, sel, opts)
	}
	return openReader(ctx, f, sel, opts)
}

func isDir(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.IsDir()
}

func openDir(ctx context.Context, d dir, sel selector, opts Options) (*Image, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return openLayout(ctx, d, sel, opts)
}

func (d dir) check() error {
	if !exists(filepath.Join(d.path, layout.Index)) {
		return &NotImageError{true, "not an OCI image layout: it has no " + layout.Index}
	}
	return nil
}

// openReader opens an archive in place if r is a regular file, and otherwise through a
// spool. It takes over r, and closes it after an error.
func openReader(ctx context.Context, r io.ReadCloser, sel selector, opts Options) (*Image, error) {
	a, err := readArchive(r, opts)
	if err != nil {
		return nil, err
	}
	img, err := openContent(ctx, a, sel, opts)
	if err != nil {
		a.Close()
		return nil, err
	}
	img.archive, img.closers = a, append(img.closers, a)
	return img, nil
}

func readArchive(r io.ReadCloser, opts Options) (*archive, error) {
	if f, ok := r.(*os.File); ok {
		if at, size := inPlace(f); at != nil {
			return indexArchive(at, size, r)
		}
	}
	return spoolArchive(r, opts.TmpDir)
}

// inPlace returns the rest of f and its size, if f is a regular file that needs no
// decompression, else nil.
func inPlace(f *os.File) (io.ReaderAt, int64) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0
	}
	off, err := f.Seek(0, io.SeekCurrent)
	if err != nil || off > info.Size() {
		return nil, 0
	}
	head := make([]byte, compression.HeadSize)
	if n, _ := f.ReadAt(head, off); !compression.IsPlain(head[:n]) {
		return nil, 0
	}
	size := info.Size() - off
	return io.NewSectionReader(f, off, size), size
}

// openContent finds out what the archive holds. It uses an OCI index as soon as that
// arrives, and anything else once the whole archive has arrived.
func openContent(ctx context.Context, a *archive, sel selector, opts Options) (*Image, error) {
	if isOCI, err := holdsLayout(ctx, a, sel); err != nil {
		return nil, err
	} else if isOCI {
		return openLayout(ctx, a, sel, opts)
	}
	if ok, err := a.has(ctx, manifest.DockerList); err != nil || ok {
		return openDocker(ctx, a, sel.tag, opts)
	}
	if ok, _ := a.has(ctx, legacyName); ok {
		return nil, fmt.Errorf("%w: written by docker before 1.10: it has no %s", ErrUnsupported, manifest.DockerList)
	}
	var err error = &NotImageError{false, fmt.Sprintf("not an image archive: neither %s nor %s in it", layout.Index, manifest.DockerList)}
	if a.isEmpty() {
		err = a.foreign(err)
	}
	return nil, err
}

// holdsLayout waits until it is known whether the archive holds an OCI layout, or sel can only
// be in one.
func holdsLayout(ctx context.Context, a *archive, sel selector) (bool, error) {
	isOCI, err := a.has(ctx, layout.Index)
	return isOCI || sel.digest != "", err
}

// IsArchiveName reports whether name, of an entry of a tar, says that the tar is an image
// archive and not a layer. It is the name of the first entry that is not a directory, or of
// a directory before it.
func IsArchiveName(name string) bool {
	switch name = cleanName(name); name {
	case layout.File, layout.Index, manifest.DockerList, legacyName, layout.Blobs:
		return true
	}
	return strings.HasPrefix(name, layout.Blobs+"/") || isDigestName(name)
}

// isDigestName reports whether name is, or lies below, one that docker gives to configs and
// layers: a digest, and perhaps an ending.
func isDigestName(name string) bool {
	name, _, _ = strings.Cut(name, "/")
	digits := strings.TrimPrefix(name, "sha256:")
	if len(digits) < 64 || strings.Trim(digits[:64], "0123456789abcdef") != "" {
		return false
	}
	switch digits[64:] {
	case "", ".json", ".tar", ".tar.gz":
		return true
	}
	return false
}
