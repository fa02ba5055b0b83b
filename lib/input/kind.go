package input

import (
	"context"
	"errors"
	"io"
	"math"
	"os"

	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/unzstd"
)

// maxLook is how many bytes of the input, and of the tar in it, are searched for a name
// that says what it is. They hold 16,000 directories and more.
const maxLook = 16 << 20

// detect finds out whether f holds an image, and returns a reader of all of f: f itself if
// it can be read at random.
func detect(ctx context.Context, f io.ReadCloser, window *unzstd.Window) (kind Kind, in io.ReadCloser, err error) {
	if file, ok := f.(*os.File); ok {
		if off, err := file.Seek(0, io.SeekCurrent); err == nil {
			kind, err := kindOf(ctx, io.NewSectionReader(file, off, math.MaxInt64-off), window)
			return kind, f, err
		}
	}
	read := &recorder{r: f}
	kind, err = kindOf(ctx, read, window)
	return kind, &replayed{Closer: f, buffered: read.data, err: read.err, r: f}, err
}

// kindOf says what the tar in r, which may be compressed, holds: the first typical name
// decides. Data that is not a tar counts as a layer: reading it will say what is wrong.
func kindOf(ctx context.Context, r io.Reader, window *unzstd.Window) (Kind, error) {
	packed := &bounded{r: r, left: maxLook}
	plain, err := layer.Decompress(ctx, packed, window)
	if errors.As(err, new(*compression.Error)) {
		return "", err
	} else if err != nil {
		return Layer, nil
	}
	defer plain.Close()
	unpacked := &bounded{r: plain, left: maxLook}
	kind, dirs := Kind(""), 0
	layer.Names(unpacked, func(name string, isDir bool) bool {
		switch {
		case oci.IsArchiveName(name):
			kind = Image
		case isDir:
			dirs++
		default:
			kind = Layer
		}
		return kind == ""
	})
	switch {
	case kind != "":
		return kind, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case !packed.spent && !unpacked.spent:
		return Layer, nil
	case dirs > 0:
		return "", &UndecidedError{OnlyDirectories: true}
	}
	return "", &UndecidedError{}
}

// bounded is a reader that fails after a number of bytes.
type bounded struct {
	r     io.Reader
	left  int
	spent bool // left is 0, and more was asked for
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.spent = true
		return 0, errors.New("looked at too much")
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// recorder keeps the bytes that it has read, and the last error.
type recorder struct {
	r    io.Reader
	data []byte
	err  error
}

func (c *recorder) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.data, c.err = append(c.data, p[:n]...), err
	return n, err
}

// replayed yields the bytes that were seen of r once more, and then the rest.
type replayed struct {
	io.Closer
	buffered []byte
	err      error // the last of r
	r        io.Reader
}

func (c *replayed) Read(p []byte) (int, error) {
	switch {
	case len(c.buffered) > 0:
		n := copy(p, c.buffered)
		c.buffered = c.buffered[n:]
		return n, nil
	case c.err != nil:
		return 0, c.err
	}
	c.buffered = nil
	return c.r.Read(p)
}
