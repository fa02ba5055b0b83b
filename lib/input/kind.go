package input

import (
	"bufio"
	"bytes"
	"io"
	"os"

	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
)

// sniffed is how far a tar is looked into for its first name.
const sniffed = 64 << 10

// sniff finds out whether f holds an image, and returns a reader of all of f: f
// itself if it is a regular file, which can be read at random.
func (s *Set) sniff(f *os.File) (in io.ReadCloser, isImage bool, err error) {
	var head []byte
	if off, err := f.Seek(0, io.SeekCurrent); err == nil {
		buf := make([]byte, sniffed)
		n, err := f.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		in, head = f, buf[:n]
	} else {
		b := bufio.NewReaderSize(f, 1<<20)
		if head, err = b.Peek(sniffed); err != nil && err != io.EOF {
			return nil, false, err
		}
		in = io.NopCloser(b)
	}
	switch s.opts.Kind {
	case Layer:
		return in, false, nil
	case Image:
		return in, true, nil
	}
	if name := layer.FirstName(head); name != "" {
		return in, oci.IsArchiveName(name), nil
	}
	if oci.IsArchiveName(layer.FirstName(unpack(head))) && s.opts.Warn != nil {
		s.opts.Warn("the compressed input, taken for a layer, looks like an image archive; --input=image takes it for one")
	}
	return in, false, nil
}

// unpack is the beginning of what head, the beginning of a compressed stream, holds.
func unpack(head []byte) []byte {
	z, err := layer.Decompress(bytes.NewReader(head))
	if err != nil {
		return nil
	}
	defer z.Close()
	buf := make([]byte, 8<<10)
	n, _ := io.ReadFull(z, buf) // whoever reads all of it says what is wrong
	return buf[:n]
}
