package materialize

import (
	"errors"
	"fmt"

	"ocipipe/lib/erofs"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/tree"
)

// Target is what is made of an image. Each target includes those that it stands on.
type Target string

// The targets.
const (
	Layers Target = "layers" // an EROFS image of each layer
	Fsmeta Target = "fsmeta" // and one of metadata alone that merges them
	VMDK   Target = "vmdk"   // and a descriptor that makes one disk of all
	Flat   Target = "flat"   // layers, and one image of the whole tree
	All    Target = "all"    // VMDK and Flat
)

func (t Target) fsmeta() bool { return t != Layers && t != Flat }
func (t Target) vmdk() bool   { return t == VMDK || t == All }
func (t Target) flat() bool   { return t == Flat || t == All }

// Format is the file system of a flat image.
type Format string

// The formats.
const (
	EROFS Format = "erofs"
	Ext4  Format = "ext4"
)

// Options are for Materialize. Ref and Pull.Cache are required.
type Options struct {
	// Ref names the image, as for [pull.Open].
	Ref string
	// Pull says how it is opened. Pull.Cache gets the artifacts too. Warn and Progress below
	// replace Pull.Image.Warn and Pull.Progress.
	Pull pull.Options

	Target Target // "" is VMDK
	// NoDeviceTable makes the fsmeta image without a table of devices, for Linux before 6.4.
	NoDeviceTable bool
	// Compression is of the images of layers, and of the flat image if that is EROFS; nil:
	// none. Workers does not count: the processors are shared among the layers.
	Compression *erofs.Compression
	Flat        FlatOptions
	Upper       *Upper // also make an upper disk for an overlay; nil: none

	// DropBlobs keeps no compressed layers in the cache once they are converted.
	DropBlobs bool
	// Verify checks the content of every artifact that the cache has, beside its size. The
	// Options of the cache say whether it does the same with blobs.
	Verify bool

	// Jobs is how many layers are converted at a time; 0 is one for each processor.
	Jobs int
	// Layer says how layers are read: AllowUnterminated and AllowZeroDevice count.
	Layer layer.Options
	// Limits are for each layer, and for all of them merged.
	Limits tree.Limits
	// MaxHoleBytes is that of erofs.Options.
	MaxHoleBytes int64

	// MaxCacheSize bounds the cache, in bytes: when the work is done, what was not used for
	// the longest time is removed, but nothing of this image. 0 is no bound.
	MaxCacheSize int64

	Warn     func(msg string) // takes messages to the user, from any goroutine; nil drops them
	Progress func(Event)      // is called when something makes progress, from any goroutine; may be nil
}

// FlatOptions are for the flat image. All of them are part of its key in the cache.
type FlatOptions struct {
	Format    Format     // "" is EROFS
	Label     string     // volume name
	Mtime     *tree.Time // of every file, in place of its own
	Clamp     *tree.Time // later times become this
	Epoch     *int64     // when the file system was made, in seconds since 1970; nil: not stored
	Size      int64      // of an ext4 image, in bytes; 0: it follows from the content
	FreeSpace *int64     // of an ext4 image without Size, in bytes; nil: as ext4.Options has it
}

// Upper is a writable disk for an overlay over the image.
type Upper struct {
	Path string // a file there is replaced
	Size int64  // in bytes
}

func (o *Options) target() Target {
	if o.Target == "" {
		return VMDK
	}
	return o.Target
}

func (o *Options) format() Format {
	if o.Flat.Format == "" {
		return EROFS
	}
	return o.Flat.Format
}

// Validate returns an error if the options do not go together.
func (o *Options) Validate() error {
	switch o.target() {
	case Layers, Fsmeta, VMDK, Flat, All:
	default:
		return fmt.Errorf("target %q is none of layers, fsmeta, vmdk, flat and all", o.Target)
	}
	switch {
	case o.Ref == "":
		return errors.New("no image is named")
	case o.Pull.Cache == nil:
		return errors.New("artifacts need a cache")
	case o.format() != EROFS && o.format() != Ext4:
		return fmt.Errorf("format %q is neither erofs nor ext4", o.Flat.Format)
	case o.format() != Ext4 && (o.Flat.Size != 0 || o.Flat.FreeSpace != nil):
		return errors.New("an EROFS image has the size of its content")
	case o.Jobs < 0:
		return fmt.Errorf("%d jobs", o.Jobs)
	case o.target() == Flat && o.format() == Ext4 && o.compressionKey() != "":
		return errors.New("an ext4 image is not compressed")
	}
	return (&erofs.Options{Compression: o.Compression}).Validate()
}

func (o *Options) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(fmt.Sprintf(format, args...))
	}
}

func (o *Options) event(e Event) {
	if o.Progress != nil {
		o.Progress(e)
	}
}

// LayerError is an error about one layer.
type LayerError struct {
	Layer int // 0 is the bottom
	Err   error
}

func (e *LayerError) Error() string { return fmt.Sprintf("layer %d: %v", e.Layer, e.Err) }
func (e *LayerError) Unwrap() error { return e.Err }
