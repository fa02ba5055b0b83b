// Package lower opens the images that lie below a change, be it a patch or the upper disk of
// an overlay, and merges them into one tree. They are EROFS and ext4 images and tree streams.
package lower

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	erofsdisk "ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/exclusive"
	ext4disk "ocipipe/lib/ext4/disk"
	ext4read "ocipipe/lib/ext4/read"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/magic"
	"ocipipe/lib/tree"
)

// Input is an image, of a layer or of a whole tree. The first bytes of a file or disk tell
// its format; anything else is a tree stream.
type Input struct {
	Name    string // for messages
	R       io.ReadCloser
	Stream  bool       // R is a tree stream from its current position on, even if it is a file
	Devices []*os.File // the devices of an EROFS image, in the order of its table
}

// Options say how inputs are read.
type Options struct {
	Limits   tree.Limits  // of all inputs together
	SpoolDir string       // for the contents of streams
	Warn     func(string) // is called with what is left out; may be nil

	// Visit, if it is not nil, is called with each entry of an image before it is merged: of
	// inputs[input], and with the number of its inode. Images are read at the same time. Visit
	// may not change or keep the entry. An error ends Merge.
	Visit func(input int, inode uint64, e *tree.Entry) error
}

// Lower is a flat tree whose contents lie in the inputs and in spool files.
type Lower struct {
	*tree.Tree

	// UUIDs are those of the inputs. nil: the input is a tree stream.
	UUIDs []*[16]byte

	spools []*spool
}

// Close frees the spool files. The caller closes the inputs.
func (l *Lower) Close() error {
	var errs []error
	for _, s := range l.spools {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// Merge applies inputs, given from bottom to top, to an empty tree. It reads only the
// metadata of files and disks, and streams to their end. Extended attributes that steer
// overlayfs are left out, except for the marks of layers, which are applied. When ctx is
// done, or an input has failed, Merge closes the readers of streams that it still reads.
func Merge(ctx context.Context, inputs []Input, opts Options) (*Lower, error) {
	l := &Lower{UUIDs: make([]*[16]byte, len(inputs))}
	sources := make([]merge.Source, len(inputs))
	for i, in := range inputs {
		src, err := l.open(i, in, opts)
		if err != nil {
			l.Close()
			return nil, about(in.Name, err)
		}
		defer src.Close()
		sources[i] = src
	}
	var err error
	if l.Tree, err = merge.Sources(ctx, sources, merge.Options{Limits: opts.Limits, Warn: opts.Warn}); err != nil {
		l.Close()
		return nil, err
	}
	for _, s := range l.spools {
		if err := s.w.Flush(); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// isNone returns err, about a file whose kind is none of those that are read.
func isNone(err error) error {
	var foreign *magic.Error
	if errors.As(err, &foreign) {
		return &magic.Error{Want: "an EROFS or ext4 image or a tree stream", Is: foreign.Is, Err: foreign.Err}
	}
	return fmt.Errorf("neither an image of EROFS or ext4 nor a tree stream: %w", err)
}

// about returns err with the name of the input, unless err names a file already.
func about(name string, err error) error {
	if errors.As(err, new(*fs.PathError)) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// open opens input number i according to its format.
func (l *Lower) open(i int, in Input, opts Options) (merge.Source, error) {
	src := merge.Source{Name: in.Name}
	file, size, err := atRandom(in)
	if err != nil {
		return src, err
	}
	if file != nil {
		var img Image
		if img, err = OpenImage(file, size, in.Devices); img != nil {
			uuid := img.UUID()
			l.UUIDs[i], src.Source = &uuid, img.Source()
			if numbered, ok := src.Source.(numbered); ok && opts.Visit != nil {
				src.Source = &visited{numbered, func(inode uint64, e *tree.Entry) error { return opts.Visit(i, inode, e) }}
			}
		}
	}
	if err != nil || src.Source != nil {
		return src, err
	}
	if len(in.Devices) > 0 {
		return src, errors.New("devices are for an EROFS image")
	}
	r, err := tree.NewReader(in.R, tree.ReaderOptions{NeedData: true})
	if file != nil && errors.Is(err, tree.ErrForeign) {
		err = isNone(err)
	}
	if err != nil {
		return src, err
	}
	s, err := newSpool(opts.SpoolDir)
	if err != nil {
		return src, err
	}
	l.spools = append(l.spools, s)
	src.Source, src.Keep = r, s.keep
	src.Interrupt = func() { in.R.Close() }
	return src, nil
}

// atRandom returns the file of an input that can be read at random, and its size, or nil.
func atRandom(in Input) (*os.File, int64, error) {
	file, ok := in.R.(*os.File)
	if !ok || in.Stream {
		return nil, 0, nil
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeDevice {
		return nil, 0, err
	}
	size, err := file.Seek(0, io.SeekEnd) // a device has it too
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	return file, size, err
}

// numbered is the source of an image of either format.
type numbered interface {
	tree.Source
	Inode() uint64 // of the entry that Next returned last
}

// visited calls visit with each entry.
type visited struct {
	numbered
	visit func(inode uint64, e *tree.Entry) error
}

func (v *visited) Next() (*tree.Entry, error) {
	e, err := v.numbered.Next()
	if err == nil {
		err = v.visit(v.Inode(), e)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Image is an image of either format.
type Image interface {
	UUID() [16]byte
	Source() tree.Source
	Lookup(path string) (*tree.Entry, error)
}

// OpenImage opens f, which has size bytes, as an EROFS image with these devices, or as an
// ext4 image. It returns nil if the magic number of neither is in f. The caller closes f.
// An ext4 image on which a kernel crashed is read with its journal replayed in memory; one
// that a kernel has still is an error that wraps [exclusive.ErrInUse].
func OpenImage(f *os.File, size int64, files []*os.File) (Image, error) {
	var head [4096]byte
	if _, err := f.ReadAt(head[:], 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case erofsdisk.HasMagic(head[:]):
		devices, _, err := erofsread.Devices(files)
		if err != nil {
			return nil, err
		}
		img, err := erofsread.Open(f, size, devices...)
		if err != nil {
			return nil, err
		}
		return img, nil
	case ext4disk.HasMagic(head[:]) && len(files) == 0:
		img, err := ext4read.Open(f, size)
		if errors.As(err, new(*volume.DirtyError)) {
			// What marks a disk after a crash marks it also while it is mounted.
			if err := exclusive.Lock(f); err != nil {
				return nil, err
			}
			img, err = ext4read.OpenRecovered(f, size)
		}
		if err != nil {
			return nil, err
		}
		return img, nil
	}
	return nil, nil
}
