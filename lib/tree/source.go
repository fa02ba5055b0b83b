package tree

import (
	"context"
	"errors"
	"io"
)

// Source yields the entries of a tree one after the other.
//
// Next returns io.EOF once the tree is complete and everything that proves it (counts,
// digests, end marks) has been checked. After any other error, the caller must not use any
// part of the tree. An entry is valid until the next call of Next or Close. To keep it
// longer, copy the struct; its strings and slices do not change.
//
// Close releases what the source holds, contents included (see [Content]). It does not close
// readers that the caller passed in. Closing twice is harmless.
type Source interface {
	Next() (*Entry, error)
	io.Closer
}

// ErrGone is the error of a content of a stream that is written twice or too late.
var ErrGone = errors.New("content of a stream can be read only once, before the next entry")

// ErrClosed is the error of Next after Close.
var ErrClosed = errors.New("source is closed")

// Sink takes the entries of a tree with their contents.
//
// When Add returns, it has read all that it needs of e's content, unless the sink says
// otherwise. Close completes the tree and frees what the sink holds; the output is not valid
// before. Abort gives up the tree because of cause and frees what the sink holds; readers of
// the output find it incomplete and, if the format has a place for it, find the cause.
//
// The first of these ends the sink:
//
//	Close that succeeds   Close again returns nil, Add fails, Abort does nothing
//	Abort                 Add and Close return the cause, or an error that wraps it
//	an error              Add and Close return it, or an error that wraps it; the tree
//	                      is never completed, and Close aborts it
//
// So "defer sink.Close()" publishes nothing if the source failed and Abort was called. None
// of the methods closes the writer that the caller passed in. Close and Abort wait for
// goroutines of the sink.
type Sink interface {
	Add(e *Entry) error
	Abort(cause error)
	io.Closer
}

// Copy adds every entry of src to dst and closes dst. If src or dst fails, it aborts dst and
// returns the error. If ctx is done, which it checks between entries, it aborts dst and
// returns the cause of ctx. It does not close src.
func Copy(ctx context.Context, dst Sink, src Source) error {
	for {
		e, err := next(ctx, src)
		if err == io.EOF {
			return dst.Close()
		}
		if err == nil {
			err = dst.Add(e)
		}
		if err != nil {
			if earlier := (*AbortError)(nil); errors.As(err, &earlier) {
				err = earlier // it names its entry itself
			}
			dst.Abort(err)
			return err
		}
	}
}

// next returns the next entry of src, or the cause of ctx if that is done.
func next(ctx context.Context, src Source) (*Entry, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return src.Next()
}
