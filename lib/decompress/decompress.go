// Package decompress chooses the decoder for a stream by the first bytes of it: gzip, of
// any number of members, zstd, of any number of frames, or none.
package decompress

import (
	"bytes"
	"context"
	"io"

	"ocipipe/lib/compression"
	"ocipipe/lib/gunzip"
	"ocipipe/lib/unzstd"
)

// Stream is what a stream holds. Its errors are those of the decoder, or of the reader
// below it.
type Stream struct {
	io.Reader
	Kind compression.Kind
	Gzip *gunzip.Reader // which Reader is then; nil where Kind is another

	close func() error
}

// New returns what r holds. It reads the first bytes, and Read reads r to its end. For
// the window of a zstd stream a Read waits until ctx is done; nil is a window of the
// stream's own. Close frees memory, ends goroutines, and does not close r. A compression
// that is recognised but not read is a [*compression.Error].
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
