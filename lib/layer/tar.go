package layer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"ocipipe/lib/blockio"
	"ocipipe/lib/magic"
)

// maxExtended is the greatest length of an extended header or a long name, in bytes.
const maxExtended = 4 << 20

// tarReader reads the entries of a tar stream: V7, ustar, GNU and pax, all four
// forms of sparse files.
type tarReader struct {
	in   window
	file *os.File // the file that holds the tar, from base on; nil if none does
	base int64
	off  int64 // bytes taken from in
	left int64 // of the current entry's data
	pad  int64 // after the data
	h    header

	names, records []byte // memory for the extended headers

	head []byte // the first bytes of the tar

	found bool // an entry was found: it is a tar
	ended bool // the two blocks of zeros that end an archive were found
}

// window is a reader that shows its next bytes before they are taken:
// blockio.Ahead or bufio.Reader.
type window interface {
	io.Reader
	Buffered() int
	Peek(n int) ([]byte, error)
	Discard(n int) (int, error)
}

// next returns the next entry's header, valid until the call after, or io.EOF
// where the archive or its stream ends between two entries.
func (t *tarReader) next() (*header, error) {
	if t.ended {
		return nil, io.EOF
	}
	if err := t.skipData(); err != nil {
		return nil, err
	}
	if t.off == 0 {
		head, _ := t.in.Peek(magic.HeadSize) // an error comes again
		t.head = bytes.Clone(head)
	}
	var x extension
	for extended := false; ; extended = t.h.kind != typePaxGlobal {
		at := t.off
		block, err := t.header()
		if err == io.EOF && extended {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if err := t.h.decode(block); err != nil {
			return nil, corruptAt(at, err)
		}
		if t.h.isExtension() {
			if err := t.extend(&x); err != nil {
				return nil, err
			}
			continue
		}
		if err := t.finish(block, &x); err != nil {
			return nil, err
		}
		t.found = true
		return &t.h, nil
	}
}

// finish completes t.h, which was decoded from block, by the extended headers x, and finds
// its data.
func (t *tarReader) finish(block []byte, x *extension) error {
	h, at := &t.h, t.off-blockSize
	var pairs []int64
	more := false
	if h.kind == typeSparse {
		var err error
		if pairs, more, err = h.gnuSparse(block); err != nil {
			return corruptAt(at, err)
		}
	}
	if err := h.extend(x); err != nil {
		return corruptAt(at, err)
	}
	switch h.kind {
	case typeHardlink, typeSymlink, typeChar, typeBlock, typeDir, typeFifo:
		h.size = 0 // these have no data, whatever the header says
	}
	if h.size < 0 {
		return corruptAt(at, errors.New("negative size"))
	}
	t.left, t.pad = h.size, -h.size&(blockSize-1)
	var err error
	switch {
	case h.kind == typeSparse:
		err = t.gnuExtensions(pairs, more)
	case h.mapInData:
		err = t.mapInData()
	}
	if err != nil {
		return err
	}
	return t.checkSparse(at)
}

// gnuExtensions reads the extension blocks of an old GNU sparse header.
func (t *tarReader) gnuExtensions(pairs []int64, more bool) (err error) {
	for more {
		block, err := t.block()
		if err != nil {
			return unexpectedEOF(err)
		}
		next, err := gnuPairs(block, extensionPairs)
		if err != nil || len(pairs) > 2*maxSparse {
			return corruptAt(t.off-blockSize, errSparse)
		}
		pairs, more = append(pairs, next...), block[offExtendedMore] != 0
	}
	if t.h.sparse, err = extents(pairs, t.h.realSize); err != nil {
		return corruptAt(t.off, err)
	}
	return nil
}

// mapInData reads the map of a pax 1.0 sparse file.
func (t *tarReader) mapInData() error {
	pairs, err := sparseMap(func() ([]byte, error) {
		if t.left < blockSize {
			return nil, errSparse
		}
		t.left -= blockSize
		b, err := t.block()
		return b, unexpectedEOF(err)
	})
	if err == nil {
		t.h.sparse, err = extents(pairs, t.h.realSize)
	}
	if errors.Is(err, errSparse) {
		err = corruptAt(t.off, err)
	}
	return err
}

// checkSparse compares the map of a sparse file with the data that it has.
func (t *tarReader) checkSparse(at int64) error {
	if t.h.sparse == nil {
		return nil
	}
	data := int64(0)
	for _, x := range t.h.sparse {
		data += x.Len
	}
	if data != t.left {
		return corruptAt(at, fmt.Errorf("sparse file has %d bytes of data, its map says %d", t.left, data))
	}
	if data == t.h.realSize {
		t.h.sparse = nil // it has no hole
	}
	t.h.size = t.h.realSize
	return nil
}

// extend adds the extended header t.h to x.
func (t *tarReader) extend(x *extension) (err error) {
	switch t.h.kind {
	case typePax:
		t.records, err = t.extended(t.records)
		x.records = t.records
	case typeLongName:
		t.names, err = t.extended(t.names)
		x.name = cString(t.names)
	case typeLongLink:
		t.names, err = t.extended(t.names)
		x.link = cString(t.names)
	case typePaxGlobal:
		t.names, err = t.extended(t.names)
		*x = extension{}
	}
	return err
}

// extended reads the data of an extended header or a long name into the memory of text. The
// memory only grows as data arrives.
func (t *tarReader) extended(text []byte) ([]byte, error) {
	n := t.h.size
	if n < 0 || n > maxExtended {
		return nil, corruptAt(t.off-blockSize, fmt.Errorf("extended header of %d bytes, over %d", n, maxExtended))
	}
	text = text[:0]
	for int64(len(text)) < n {
		b, err := t.take(n - int64(len(text)))
		if err != nil {
			return nil, err
		}
		text = append(text, b...)
	}
	return text, t.skip(-n & (blockSize - 1))
}

// header returns the next block that is not part of the archive's end.
func (t *tarReader) header() ([]byte, error) {
	block, err := t.block()
	if err != nil || !isZero(block) {
		return block, err
	}
	block, err = t.block()
	if err != nil {
		return nil, err
	}
	if !isZero(block) {
		return nil, corruptAt(t.off-blockSize, errors.New("a single block of zeros between entries"))
	}
	t.ended = true
	return nil, io.EOF
}

// block takes the next block. It returns io.EOF if the input has ended.
func (t *tarReader) block() ([]byte, error) {
	b, err := t.in.Peek(blockSize)
	t.in.Discard(len(b))
	t.off += int64(len(b))
	if err == io.EOF && len(b) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// take takes between 1 and n bytes, as many as are in the window.
func (t *tarReader) take(n int64) ([]byte, error) {
	if t.in.Buffered() == 0 {
		if _, err := t.in.Peek(1); err != nil {
			return nil, unexpectedEOF(err)
		}
	}
	b, err := t.in.Peek(int(min(n, int64(t.in.Buffered()))))
	t.in.Discard(len(b))
	t.off += int64(len(b))
	return b, err
}

// skipData skips the rest of the current entry. It does not add the length of the data to
// that of the padding, since the sum may overflow.
func (t *tarReader) skipData() error {
	if err := t.skip(t.left); err != nil {
		return err
	}
	t.left = 0
	if t.pad > 0 && t.in.Buffered() == 0 {
		if _, err := t.in.Peek(1); err != nil {
			t.pad = 0
			return err // io.EOF: where umoci insert ends a tar, without padding
		}
	}
	err := t.skip(t.pad)
	t.pad = 0
	return err
}

func (t *tarReader) skip(n int64) error {
	for n > 0 {
		b, err := t.take(n)
		if err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// WriteTo writes the current entry's data to w.
func (t *tarReader) WriteTo(w io.Writer) (n int64, err error) {
	for t.left > 0 {
		b, err := t.take(t.left)
		if err != nil {
			return n, err
		}
		t.left -= int64(len(b))
		m, err := blockio.WriteFrom(w, t.file, t.base+t.off-int64(len(b)), b)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// drain reads the bytes that follow the archive, which its digest covers too. An input that
// begins with zeros, and has other data after them, is not a tar but perhaps a disk image.
func (t *tarReader) drain() error {
	for {
		if _, err := t.in.Peek(1); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		b, _ := t.in.Peek(t.in.Buffered())
		if !t.found && !isZero(b) {
			return corruptAt(0, errors.New("zeros and then other data, which is no tar"))
		}
		t.in.Discard(len(b))
		t.off += int64(len(b))
	}
}

// unexpectedEOF turns io.EOF in the middle of an entry into an error.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func isZero(block []byte) bool {
	for _, c := range block {
		if c != 0 {
			return false
		}
	}
	return true
}

// Names calls visit with the name of each entry of the plain tar in r, unchanged, and
// whether the entry is a directory, until visit returns false or the tar ends.
func Names(r io.Reader, visit func(name string, isDir bool) (more bool)) error {
	t := &tarReader{in: bufio.NewReaderSize(r, 64<<10)}
	for {
		h, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil || !visit(h.name, h.kind == typeDir || strings.HasSuffix(h.name, "/")) {
			return err
		}
	}
}
