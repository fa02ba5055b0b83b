package tree

import (
	"errors"
	"io"
)

// Source yields the entries of a tree one after the other.
//
// Next returns io.EOF once the tree is complete and everything that vouches for
// it (counts, digests, end marks) has been checked; any other error means that
// no part of what was read may be used. The entry is valid until the next call
// of Next or Close; whoever keeps it copies the struct, and may then keep its
// strings and slices, which nobody changes.
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
// otherwise. Close completes the tree: before it nothing that was written is
// valid, and after an error nothing ever is. An error is final: each later call
// returns it too.
type Sink interface {
	Add(e *Entry) error
	io.Closer
}

// Aborter is a Sink that can tell whoever reads its output why it is cut short.
type Aborter interface {
	Abort(cause error)
}

// Copy takes every entry of src to dst and completes dst. Where src fails, dst is
// told (see [Aborter]) and stays incomplete. It closes dst, not src.
func Copy(dst Sink, src Source) error {
	for {
		e, err := src.Next()
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
			if a, ok := dst.(Aborter); ok {
				a.Abort(err)
			}
			return err
		}
	}
}
