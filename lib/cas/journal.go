package cas

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// The journal of a part says which ranges of it have arrived. It is a file of
// lines, one appended for each write after the bytes are in the part:
//
//	OFF END CRC
//
// in hexadecimal, CRC (CRC-32C, 8 digits) over the bytes of the range. A killed
// process may leave the last line incomplete. A power cut may lose the bytes of a line,
// which the checksum shows, or the line of some bytes, which are then fetched again. In
// the end the digest decides.
type journal struct{ f *os.File }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

const (
	bufferSize = 256 << 10
	maxLine    = 64
)

// add appends a line about b, the bytes of the range x.
func (j journal) add(x Range, b []byte) error {
	if j.f == nil { // a spool has no journal
		return nil
	}
	_, err := fmt.Fprintf(j.f, "%x %x %08x\n", x.Off, x.End, crc32.Checksum(b, castagnoli()))
	return err
}

// load returns the ranges of part that are intact, up to size. It cuts the journal off
// at the first line that is not valid.
func (j journal) load(ctx context.Context, part io.ReaderAt, size int64) (have ranges, err error) {
	r := bufio.NewReaderSize(j.f, 4096)
	valid := int64(0)
	for {
		line, err := r.ReadSlice('\n')
		x, sum, ok := parseLine(line)
		if err != nil || !ok || len(line) > maxLine {
			break
		}
		valid += int64(len(line))
		switch ok, err := matches(ctx, part, x, sum, size); {
		case err != nil:
			return nil, err
		case ok:
			have = have.add(x)
		}
	}
	if err := j.f.Truncate(valid); err != nil {
		return nil, storeError(err)
	}
	return have, nil
}

func parseLine(line []byte) (x Range, sum uint32, ok bool) {
	var end byte
	n, err := fmt.Sscanf(string(line), "%x %x %08x%c", &x.Off, &x.End, &sum, &end)
	return x, sum, err == nil && n == 4 && end == '\n' && 0 <= x.Off && x.Off < x.End
}

// matches reports whether the bytes x of part have the checksum sum. Bytes that cannot be
// read do not match; that is not an error.
func matches(ctx context.Context, part io.ReaderAt, x Range, sum uint32, size int64) (bool, error) {
	if err := context.Cause(ctx); err != nil {
		return false, err
	}
	if x.End > size {
		return false, nil
	}
	h := crc32.New(castagnoli())
	n, err := io.CopyBuffer(h, struct{ io.Reader }{io.NewSectionReader(part, x.Off, x.End-x.Off)}, make([]byte, min(bufferSize, x.End-x.Off)))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return n == x.End-x.Off && h.Sum32() == sum, nil
}
