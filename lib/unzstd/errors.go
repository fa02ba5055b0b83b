package unzstd

import (
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/klauspost/compress/zstd"
)

// ErrUnsupported is in the errors about streams that may be whole, but which a Reader does not
// decompress.
var ErrUnsupported = errors.New("zstd that is not supported")

// Error says what is wrong with a stream.
type Error struct {
	At  int64 // byte of the stream where the frame or block begins that cannot be read
	Err error // of the decoder

	fault fault
}

// fault is what is wrong, in words.
type fault struct {
	text        string
	unsupported bool
}

func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.At, e.fault.text) }

// Unwrap returns the error of the decoder, and perhaps ErrUnsupported.
func (e *Error) Unwrap() []error {
	if e.fault.unsupported {
		return []error{e.Err, ErrUnsupported}
	}
	return []error{e.Err}
}

var tooWide = fault{"the frame needs a window above 128 MiB, which zstd --long=31 -dc unpacks", true}

// faults are the errors of the decoder that say more than that the data is damaged.
var faults = map[error]fault{
	zstd.ErrMagicMismatch:       {text: "neither a frame of zstd nor the end"},
	zstd.ErrCRCMismatch:         {text: "the frame that ends with this block does not have its checksum"},
	zstd.ErrFrameSizeMismatch:   {text: "the frame that ends with this block does not have the length that its header says"},
	zstd.ErrFrameSizeExceeded:   {text: "the frame is longer than its header says"},
	zstd.ErrWindowSizeExceeded:  tooWide,
	zstd.ErrDecoderSizeExceeded: tooWide, // of a single segment
	zstd.ErrUnknownDictionary:   {"the frame needs a dictionary, with which zstd -D DICTIONARY -dc unpacks it", true},
}

// explain puts an error of the decoder into words. One of the reader below, or of a stream that
// is cut short, is returned as it is.
func (z *Reader) explain(err error) error {
	if err == nil || !reflect.ValueOf(err).Comparable() { // none of the decoder
		return err
	}
	if err == io.EOF || err == z.frames.err || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	is, ok := faults[err]
	if !ok || is.unsupported && z.frames.within { // the header of the frame was accepted
		is = fault{text: "damaged data"}
	}
	return &Error{z.frames.begin, err, is}
}
