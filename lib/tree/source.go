package tree

import (
	"context"
	"errors"
	"io"
)

// Source yields the entries of a tree one after the other.
//
// Next returns io.EOF once the tree is complete and everything that vouches for
// it (counts, digests, end marks) has been checked; any other error means that
// no part of what was read may be used. The entry is valid until the next call
// of Next or Close. To keep it longer, copy the struct; its strings and slices do not
// change.
//
// Close releases what the source holds, contents included (see [Content]). It does
// not close readers that the caller passed in, and closing twice is harmless.
type Source interface {
	Next() (*Entry, error)
	io.Closer
}

// ErrGone is what the content of a stream says when it is asked for again or too late.
var ErrGone = errors.New("content of a stream can be read only once, before the next entry")

// ErrClosed is what a source says of entries that are asked for after Close.
var ErrClosed = errors.New("source is closed")

// Sink takes the entries of a tree and, with each, its content.
//
// Add has read all it needs of e's content when it returns, unless the sink says
// otherwise. Close completes the tree, and frees what the sink holds; nothing that was
// written is valid before. Abort gives the tree up because of cause and frees what the
// sink holds; readers of the output find it incomplete, and where the format has room
// for that they find the cause.
//
// The first of these ends the sink:
//
//	Close that succeeds   later ones return nil, Add fails, Abort does nothing
//	Abort                 Add and Close return the cause, or an error that wraps it
//	an error              Add and Close return it, or an error that wraps it; the tree
//	                      is never completed, and Close aborts it
//
// So "defer sink.Close()" publishes nothing where the source failed and Abort was
// called. None of them closes the writer that the caller passed in. Close and Abort
// wait for what the sink runs.
type Sink interface {
	Add(e *Entry) error
	Abort(cause error)
	io.Closer
}

// Copy adds every entry of src to dst and completes dst. Where src or dst fails, or ctx
// is done, it aborts dst and returns the error, which is the cause of ctx. It looks at
// ctx between entries. Copy ends dst, and leaves src open.
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
				err = earlier // says which entry it was itself
			}
			dst.Abort(err)
			return err
		}
	}
}

// next is the next entry of src, unless ctx is done.
func next(ctx context.Context, src Source) (*Entry, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return src.Next()
}
