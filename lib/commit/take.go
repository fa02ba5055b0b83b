package commit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/compression"
	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// Layer is a layer that goes into a new image. Its blob lies in a spool file.
type Layer struct {
	Digest      digest.Digest // of the blob
	Size        int64         // of the blob
	DiffID      digest.Digest // of the uncompressed tar
	Compression compression.Kind

	spool *blockio.Spool
}

// Close frees the spool file. Closing twice is harmless.
func (l *Layer) Close() error { return l.spool.Close() }

// open returns a reader of the blob.
func (l *Layer) open() io.ReadCloser {
	return spooled{l.spool.Section(0, l.Size), l.spool.Part(0, l.Size)}
}

// spooled reads a blob in a spool file; closing it leaves the file open.
type spooled struct {
	io.Reader
	part blockio.Part
}

func (s spooled) WriteTo(w io.Writer) (int64, error) { return s.part.WriteTo(w) }
func (spooled) Close() error                         { return nil }

// TakeOptions say how a layer is taken. The zero value is useful.
type TakeOptions struct {
	// Compression is that of the blob; "" keeps the bytes as they come. A layer that is
	// compressed in that way already is kept too.
	Compression compression.Kind
	// TmpDir is where the spool file is made; "" is $TMPDIR.
	TmpDir string
	// Limits are those of the entries.
	Limits tree.Limits
	// AllowUnterminated accepts a tar without the blocks that end an archive.
	AllowUnterminated bool
	// Piped says that another process writes the layer meanwhile; see layer.Options.
	Piped bool

	stop func() error // ends a Read of the input; may be nil
}

// ErrTwice says that what a compressed layer unpacks to is compressed again.
var ErrTwice = errors.New("compressed twice")

const copySize = 256 << 10

// Take reads the layer r, a tar that may be compressed, to its end, once. It refuses what is
// not a complete tar of files; its errors are those of package layer. The caller closes the
// layer, and r. After an error in the tar Take has closed r, if that is an [io.Closer], to end a
// Read that waits.
func Take(ctx context.Context, r io.Reader, opts TakeOptions) (*Layer, error) {
	in := bufio.NewReaderSize(blockio.Stoppable(ctx, r), copySize)
	head, err := in.Peek(compression.HeadSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	kind, err := compression.Detect(head)
	if err != nil {
		return nil, err
	}
	blob, err := newBlob(opts.TmpDir)
	if err != nil {
		return nil, err
	}
	l := &Layer{Compression: kind, spool: blob.spool}
	if c, ok := r.(io.Closer); ok {
		opts.stop = c.Close
	}
	if opts.Compression == "" || opts.Compression == kind {
		l.DiffID, err = keep(ctx, in, kind, blob, opts)
	} else {
		l.Compression = opts.Compression
		l.DiffID, err = recompress(ctx, in, blob, opts)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	l.Digest, l.Size = blob.digest(), blob.spool.Size()
	return l, nil
}

// keep puts in into blob as it is. It returns the diff-id.
func keep(ctx context.Context, in io.Reader, kind compression.Kind, blob *blob, opts TakeOptions) (digest.Digest, error) {
	var copied io.Writer = blob
	tar := digest.SHA256.Hash()
	if kind == compression.Plain { // the same bytes are not hashed twice
		copied, tar = blob.spool, blob.hash
	}
	plain, err := layer.Decompress(ctx, io.TeeReader(in, copied), nil)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	return check(ctx, plain, tar, opts)
}

// recompress puts in into blob with another compression. It returns the diff-id.
func recompress(ctx context.Context, in io.Reader, blob *blob, opts TakeOptions) (digest.Digest, error) {
	plain, err := layer.Decompress(ctx, in, nil)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	z, err := layer.Compress(blob, opts.Compression)
	if err != nil {
		return "", err
	}
	id, err := check(ctx, io.TeeReader(plain, z), digest.SHA256.Hash(), opts)
	if err != nil {
		z.Abort(err)
		return "", err
	}
	return id, z.Close()
}

// check reads the tar r to its end, and returns an error if it is not that of a layer. It
// returns the digest, for which another goroutine writes the tar to sum.
func check(ctx context.Context, r io.Reader, sum hash.Hash, opts TakeOptions) (digest.Digest, error) {
	in := bufio.NewReaderSize(r, copySize)
	if head, _ := in.Peek(compression.HeadSize); !compression.IsPlain(head) {
		return "", fmt.Errorf("%w: %w", layer.ErrCorrupt, ErrTwice)
	}
	src, err := layer.Open(ctx, layer.Input{
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(in), nil },
		Options: layer.Options{
			Tap: sum, Limits: opts.Limits, SpoolDir: opts.TmpDir, AllowUnterminated: opts.AllowUnterminated, Piped: opts.Piped,
		},
	})
	if err != nil {
		return "", err
	}
	for err == nil {
		_, err = src.Next()
	}
	if err != io.EOF && opts.stop != nil {
		opts.stop()
	}
	if cerr := src.Close(); err == io.EOF {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, sum), nil
}

// blob is a spool file that is hashed while it is written.
type blob struct {
	spool *blockio.Spool
	hash  hash.Hash
}

func newBlob(tmpDir string) (*blob, error) {
	s, err := blockio.NewSpool(tmpDir)
	if err != nil {
		return nil, err
	}
	return &blob{s, digest.SHA256.Hash()}, nil
}

func (b *blob) Write(p []byte) (int, error) {
	b.hash.Write(p)
	return b.spool.Write(p)
}

func (b *blob) digest() digest.Digest { return digest.NewDigest(digest.SHA256, b.hash) }
