// Package decompress chooses the decoder for a stream by its first bytes: gzip with any
// number of members, zstd with any number of frames, or none.
package decompress

import (
	"bytes"
	"context"
	"io"

	"ocipipe/lib/compression"
	"ocipipe/lib/gunzip"
	"ocipipe/lib/unzstd"
)

// Stream is a decompressed stream. Its errors are those of the decoder, or of the reader
// below it.
type Stream struct {
	io.Reader
	Kind compression.Kind
	Gzip *gunzip.Reader // the Reader if Kind is Gzip, else nil

	close func() error
}

// New returns the decompressed content of r. It reads the first bytes of r; Read of the
// Stream reads r to its end. A Read that needs the window for a large zstd frame waits for
// it until ctx is done; if window is nil the stream has a window of its own. The caller
// closes the Stream, which frees memory and ends goroutines but does not close r. If a
// compression is recognised but not supported the error is a [*compression.Error].
func New(ctx context.Context, r io.Reader, window *unzstd.Window) (*Stream, error) {
	head := make([]byte, compression.HeadSize)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	kind, err := compression.Detect(head[:n])
	if err != nil {
		return nil, err
	}
	s := &Stream{Reader: io.MultiReader(bytes.NewReader(head[:n]), r), Kind: kind, close: func() error { return nil }}
	switch kind {
	case compression.Gzip:
		s.Gzip = gunzip.NewReader(s.Reader)
		s.Reader, s.close = s.Gzip, s.Gzip.Close
	case compression.Zstd:
		z := unzstd.NewReader(ctx, s.Reader, window)
		s.Reader, s.close = z, z.Close
	}
	return s, nil
}

// Close ends the decoder.
func (s *Stream) Close() error { return s.close() }
