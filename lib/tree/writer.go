package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
)

// WriterOptions say what form a stream takes.
type WriterOptions struct {
	Data   Data
	Stage  string     // name of the tool, for the abort line
	Digest bool       // add sha256digest of each file; only where Data is not Inline
	Props  []Property // not written in the forms without data
}

// Writer is a Sink that writes a tree stream. It passes large buffers to the
// writer below, which needs no buffer of its own.
type Writer struct {
	w       io.Writer
	opts    WriterOptions
	buf     []byte
	crc     uint32 // of what has left buf
	records int64
	bytes   int64
	err     error
}

// bufSize is what a pipe takes in one write once it is widened.
const bufSize = 1 << 20

// NewWriter starts a stream on w.
func NewWriter(w io.Writer, opts WriterOptions) *Writer {
	s := &Writer{w: w, opts: opts, buf: make([]byte, 0, bufSize)}
	word := "none"
	if opts.Data == Inline {
		word = "inline"
		if opts.Digest {
			s.err = errors.New("digests go only into a stream without data")
		}
	}
	s.buf = append(append(append(s.buf, magic...), word...), '\n')
	if opts.Data != Inline {
		return s
	}
	for _, p := range opts.Props {
		s.buf = append(append(append(s.buf, propPrefix...), p.Key...), '=')
		s.buf = append(appendEscaped(s.buf, p.Value), '\n')
	}
	return s
}

// Add writes the record of e and its content.
func (s *Writer) Add(e *Entry) error {
	if s.err == nil {
		s.err = s.add(e)
	}
	return s.err
}

func (s *Writer) add(e *Entry) error {
	if err := s.flushFor(1); err != nil {
		return err
	}
	start := len(s.buf)
	s.buf = appendRecord(s.buf, e, s.opts.Data)
	if s.opts.Digest && e.Type == File && e.Hardlink == "" {
		if err := s.appendDigest(e); err != nil {
			s.buf = s.buf[:start] // no half record before an abort line
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	s.buf = append(s.buf, '\n')
	if n := len(s.buf) - start; n > MaxLine {
		return fmt.Errorf("%s: record of %d bytes, over the %d of a line", e.Path, n, MaxLine)
	}
	s.records++
	if s.opts.Data != Inline {
		return nil
	}
	return s.payload(e)
}

// payload writes e's content and the LF behind it.
func (s *Writer) payload(e *Entry) error {
	want := e.DataSize()
	if want == 0 {
		return nil
	}
	if e.Content == nil {
		return fmt.Errorf("%s: the source carries no data", e.Path)
	}
	p := payload{s: s}
	_, err := e.Content.WriteTo(&p)
	if err == nil && p.n != want {
		err = fmt.Errorf("content has %d bytes instead of %d", p.n, want)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	s.bytes += want
	s.buf = append(s.buf, '\n')
	return nil
}

// payload is where a content goes: small pieces into the writer's buffer, large
// ones past it.
type payload struct {
	s *Writer
	n int64
}

func (p *payload) Write(b []byte) (int, error) {
	s := p.s
	if err := s.flushFor(len(b)); err != nil {
		return 0, err
	}
	p.n += int64(len(b))
	if len(b) < cap(s.buf)-len(s.buf) {
		s.buf = append(s.buf, b...)
		return len(b), nil
	}
	s.crc = crc32.Update(s.crc, crc32.IEEETable, b)
	return s.w.Write(b)
}

// flushFor writes the buffer out unless n bytes more fit into it.
func (s *Writer) flushFor(n int) error {
	if len(s.buf)+n < bufSize*3/4 {
		return nil
	}
	return s.flush()
}

func (s *Writer) flush() error {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, s.buf)
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// Close writes the end line. It does not close the writer below.
func (s *Writer) Close() error {
	if s.err != nil {
		return s.err
	}
	crc := crc32.Update(s.crc, crc32.IEEETable, s.buf)
	s.buf = fmt.Appendf(s.buf, endPrefix+"records=%d bytes=%d crc32=%08x\n", s.records, s.bytes, crc)
	if s.err = s.flush(); s.err == nil {
		s.err = errClosed
		return nil
	}
	return s.err
}

var errClosed = errors.New("tree stream is already complete")

// Abort ends the stream with cause, for the reader to show.
func (s *Writer) Abort(cause error) {
	if s.err == errClosed {
		return
	}
	text := s.opts.Stage + ": " + cause.Error()
	if earlier := (*AbortError)(nil); errors.As(cause, &earlier) {
		text = earlier.Message
	}
	msg := appendEscaped(nil, text)
	if len(msg) > maxAbort {
		msg = msg[:maxAbort]
		if i := bytes.LastIndexByte(msg, '\\'); i > maxAbort-4 {
			msg = msg[:i] // not half an escape
		}
	}
	s.buf = append(append(append(s.buf, '\n'), abortPrefix...), msg...)
	s.buf = append(s.buf, '\n')
	s.flush() // nothing can be done about a second error
	if s.err == nil {
		s.err = cause
	}
}

// appendRecord writes the line of e, without its LF.
func appendRecord(b []byte, e *Entry, form Data) []byte {
	b = appendPath(b, e.Path)
	b = append(append(b, " type="...), e.Type.String()...)
	b = append(b, " mode="...)
	b = append(b, '0'+byte(e.Mode>>9&7), '0'+byte(e.Mode>>6&7), '0'+byte(e.Mode>>3&7), '0'+byte(e.Mode&7))
	b = strconv.AppendUint(append(b, " uid="...), uint64(e.UID), 10)
	b = strconv.AppendUint(append(b, " gid="...), uint64(e.GID), 10)
	b = appendTime(append(b, " time="...), e.Time)
	switch e.Type {
	case File:
		b = strconv.AppendInt(append(b, " size="...), e.Size, 10)
	case Link:
		b = appendEscaped(append(b, " link="...), e.Link)
	case Char, Block:
		b = strconv.AppendUint(append(b, " device=native,"...), uint64(e.Dev.Major), 10)
		b = strconv.AppendUint(append(b, ','), uint64(e.Dev.Minor), 10)
	}
	if form == NonePortable {
		if e.Nlink > 0 {
			b = strconv.AppendUint(append(b, " nlink="...), uint64(e.Nlink), 10)
		}
		return b
	}
	if e.Hardlink != "" {
		b = appendPath(append(b, " hardlink="...), e.Hardlink)
		if e.Lower {
			b = append(b, " lower"...)
		}
	}
	if e.Extents != nil && form == Inline {
		b = appendExtents(append(b, " extents="...), e.Extents)
	}
	if e.NoChange {
		b = append(b, " nochange"...)
	}
	for _, x := range e.Xattrs {
		b = appendEscaped(append(b, " "+xattrPrefix...), x.Name)
		b = base64.StdEncoding.AppendEncode(append(b, '='), []byte(x.Value))
	}
	for _, x := range e.Extra {
		if x.Name == digestWord {
			continue
		}
		b = appendEscaped(append(b, ' '), x.Name)
		b = appendEscaped(append(b, '='), x.Value)
	}
	return b
}

func appendPath(b []byte, path string) []byte {
	if path == "." {
		return append(b, '.')
	}
	return appendEscaped(append(b, "./"...), path)
}

func appendTime(b []byte, t Time) []byte {
	b = strconv.AppendInt(b, t.Sec, 10)
	b = append(b, '.')
	for unit := uint32(100_000_000); unit > 0; unit /= 10 {
		b = append(b, '0'+byte(t.Nsec/unit%10))
	}
	return b
}

func appendExtents(b []byte, xs []Extent) []byte {
	if len(xs) == 0 {
		return append(b, '-')
	}
	for i, x := range xs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, x.Off, 10)
		b = strconv.AppendInt(append(b, '+'), x.Len, 10)
	}
	return b
}

// appendDigest adds the SHA-256 of the whole file, holes as zeros.
func (s *Writer) appendDigest(e *Entry) error {
	h := sha256.New()
	if err := WriteExpanded(h, e); err != nil {
		return err
	}
	s.buf = append(s.buf, " "+digestWord+"="...)
	s.buf = hex.AppendEncode(s.buf, h.Sum(nil))
	return nil
}
