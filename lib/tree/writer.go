package tree

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"

	"ocipipe/lib/blockio"
)

// WriterOptions are for NewWriter.
type WriterOptions struct {
	Data  Data
	Stage string     // name of the tool, for the abort line
	Props []Property // written only if Data is Inline

	// Digest adds the sha256digest of each file. Data must not be Inline then.
	Digest bool

	// MaxHoles is that of the Digester.
	MaxHoles int64
}

// Writer is a Sink that writes a tree stream. It passes large buffers to its io.Writer, which
// needs no buffer of its own.
type Writer struct {
	w       io.Writer
	opts    WriterOptions
	buf     []byte
	crc     uint32 // of everything that has left buf
	records int64
	bytes   int64
	left    int64 // bytes of the current content that have not come yet
	digests Digester
	aborted bool  // the abort line was written
	err     error // the first error; errComplete after Close
}

// The buffer is written once it holds minWrite bytes. It has room for twice that, so
// that most contents fit into it. A piece of a content of noCopy bytes is written as it is:
// those that an inflater yields are a little less than minWrite.
const (
	minWrite = 256 << 10
	bufSize  = 2 * minWrite
	noCopy   = minWrite / 2
)

// NewWriter starts a stream on w.
func NewWriter(w io.Writer, opts WriterOptions) *Writer {
	s := &Writer{w: w, opts: opts, buf: make([]byte, 0, bufSize), digests: Digester{MaxHoles: opts.MaxHoles}}
	word := "none"
	if opts.Data == Inline {
		word = "inline"
		if opts.Digest {
			s.err = errors.New("digests go only into a stream without data")
		}
	}
	s.buf = append(append(append(s.buf, firstWords...), word...), '\n')
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
	if s.opts.Data == Inline && e.Extents != nil {
		limited := *e
		LimitExtents(&limited)
		e = &limited
	}
	digest, err := s.digest(e)
	if err != nil {
		return err
	}
	start := len(s.buf)
	s.buf = append(appendRecord(s.buf, e, s.opts.Data, digest), '\n')
	if n := len(s.buf) - start; n > MaxLine {
		s.buf = s.buf[:start] // so that a reader can find an abort line after it
		return fmt.Errorf("%s: record of %d bytes, over the %d of a line", printable(e.Path), n, MaxLine)
	}
	s.records++
	if s.opts.Data == Inline {
		if err := s.payload(e); err != nil {
			return fmt.Errorf("%s: %w", printable(e.Path), err)
		}
	}
	if len(s.buf) >= minWrite {
		return s.flush()
	}
	return nil
}

// digest returns the SHA-256 of e's content, holes as zeros, if Digest is set or e comes from
// a stream that has it; otherwise "".
func (s *Writer) digest(e *Entry) (string, error) {
	switch {
	case s.opts.Data == Inline:
		return "", nil
	case !s.opts.Digest:
		return e.knownDigest(), nil
	}
	return s.digests.Digest(e)
}

// payload writes e's content and the LF after it.
func (s *Writer) payload(e *Entry) error {
	want := e.DataSize()
	if want == 0 {
		return nil
	}
	if e.Content == nil {
		return errNoData
	}
	s.left = want
	if _, err := e.Content.WriteTo((*payload)(s)); err != nil {
		return err
	}
	if s.left > 0 {
		return shortContent(s.left, want)
	}
	s.bytes += want
	s.buf = append(s.buf, '\n')
	return nil
}

// shortContent is the error of a content that lacks some of its bytes.
func shortContent(lacks, size int64) error {
	return fmt.Errorf("content ends %d bytes short of %d", lacks, size)
}

var errNoData = errors.New("the source carries no data")

// payload is the Writer to which the current content is written.
type payload Writer

// Write copies small pieces into the buffer, and writes large ones directly.
func (p *payload) Write(b []byte) (int, error) { return p.WriteFrom(nil, 0, b) }

// WriteFrom is Write of b, which f has at off; see blockio.FileWriter.
func (p *payload) WriteFrom(f *os.File, off int64, b []byte) (int, error) {
	s := (*Writer)(p)
	if int64(len(b)) > s.left {
		return 0, errors.New("content is longer than its size")
	}
	if len(b) >= noCopy || len(s.buf)+len(b) > bufSize {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	s.left -= int64(len(b))
	if len(b) >= noCopy {
		s.crc = crc32.Update(s.crc, crc32.IEEETable, b)
		return blockio.WriteFrom(s.w, f, off, b)
	}
	s.buf = append(s.buf, b...)
	return len(b), nil
}

func (s *Writer) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	s.crc = crc32.Update(s.crc, crc32.IEEETable, s.buf)
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// Close writes the end line. It does not close the io.Writer.
func (s *Writer) Close() error {
	switch {
	case s.err == errComplete:
		return nil
	case s.err != nil:
		s.Abort(s.err)
		return s.err
	}
	crc := crc32.Update(s.crc, crc32.IEEETable, s.buf)
	s.buf = fmt.Appendf(s.buf, endPrefix+"records=%d bytes=%d crc32=%08x\n", s.records, s.bytes, crc)
	if s.err = s.flush(); s.err != nil {
		return s.err
	}
	s.err = errComplete
	return nil
}

var errComplete = errors.New("tree stream is already complete")

// Abort ends the stream with an abort line, which tells its reader the cause.
func (s *Writer) Abort(cause error) {
	if s.err == errComplete || s.aborted {
		return
	}
	s.aborted = true
	text := cause.Error()
	if s.opts.Stage != "" {
		text = s.opts.Stage + ": " + text
	}
	if earlier := (*AbortError)(nil); errors.As(cause, &earlier) {
		text = earlier.Message
	}
	msg := appendEscaped(nil, text)
	if len(msg) > maxAbort { // keep the end, which has the cause
		msg = appendEscaped(nil, text[:abortPart]+"[...]"+text[len(text)-abortPart:])
	}
	s.buf = append(append(append(s.buf, '\n'), abortPrefix...), msg...)
	s.buf = append(s.buf, '\n')
	s.flush() // nothing can be done about a second error
	if s.err == nil {
		s.err = cause
	}
}

// Record is the line, without its LF, that a stream without contents has for e, which may
// be a layer's.
func Record(e *Entry) string { return string(appendRecord(nil, e, None, "")) }

// appendRecord writes the line of e, without its LF. Streams without data have
// what the tools that they are for know, in the spelling that these compare;
// FORMAT.md says what is left out.
func appendRecord(b []byte, e *Entry, form Data, digest string) []byte {
	b = appendPath(b, e.Path)
	b = append(append(b, " type="...), e.Type.String()...)
	b = appendMode(append(b, " mode="...), e.Mode, form)
	b = strconv.AppendUint(append(b, " uid="...), uint64(e.UID), 10)
	b = strconv.AppendUint(append(b, " gid="...), uint64(e.GID), 10)
	b = appendTime(append(b, " time="...), e.Time)
	switch e.Type {
	case File:
		b = strconv.AppendInt(append(b, " size="...), e.Size, 10)
	case Link:
		b = appendLink(append(b, " link="...), e.Link, form)
	case Char, Block:
		b = strconv.AppendUint(append(b, " device=native,"...), uint64(e.Dev.Major), 10)
		b = strconv.AppendUint(append(b, ','), uint64(e.Dev.Minor), 10)
	}
	if form == NonePortable {
		if e.Nlink > 0 && e.Type != Dir {
			b = strconv.AppendUint(append(b, " nlink="...), uint64(e.Nlink), 10)
		}
		return appendDigest(b, digest)
	}
	if e.Hardlink != "" {
		b = appendPath(append(b, " hardlink="...), e.Hardlink)
	}
	if e.Lower != nil {
		b = appendLower(b, e.Lower)
	}
	if e.Extents != nil && form == Inline {
		b = appendExtents(append(b, " extents="...), e.Extents)
	}
	if e.NoChange {
		b = append(b, " nochange"...)
	}
	b = appendDigest(b, digest)
	for _, x := range e.Xattrs {
		b = appendEscaped(append(b, " "+xattrPrefix...), x.Name)
		b = base64.StdEncoding.AppendEncode(append(b, '='), []byte(x.Value))
	}
	for _, x := range e.Extra.list() {
		if x.Name != digestWord {
			b = appendEscaped(append(b, ' '), x.Name)
			b = appendEscaped(append(b, '='), x.Value)
		}
	}
	return b
}

// appendLower appends the marks lower and below.
func appendLower(b []byte, l *Lower) []byte {
	below := l.Targets
	if !l.Else {
		last := len(below) - 1
		b = append(appendPath(append(b, " hardlink="...), below[last]), " lower"...)
		below = below[:last]
	}
	for i, target := range below {
		if i == 0 {
			b = append(b, " below="...)
		} else {
			b = append(b, ',')
		}
		start := len(b)
		b = appendPath(b, target)
		if bytes.IndexByte(b[start:], ',') >= 0 {
			escaped := bytes.ReplaceAll(b[start:], []byte(","), []byte(`\054`))
			b = append(b[:start], escaped...)
		}
	}
	return b
}

func appendDigest(b []byte, digest string) []byte {
	if digest == "" {
		return b
	}
	return append(append(b, " "+digestWord+"="...), digest...)
}

// appendMode appends four octal digits or, in a stream without data, the number as C's %#o
// prints it, which is what gomtree compares.
func appendMode(b []byte, mode uint16, form Data) []byte {
	if form == Inline {
		return append(b, '0'+byte(mode>>9&7), '0'+byte(mode>>6&7), '0'+byte(mode>>3&7), '0'+byte(mode&7))
	}
	return fmt.Appendf(b, "%#o", mode)
}

// appendLink appends the target of a symbolic link; see parseLink.
func appendLink(b []byte, target string, form Data) []byte {
	if form != None {
		return appendEscaped(b, target)
	}
	for i := range len(target) {
		switch c := target[i]; c {
		case '=':
			b = append(b, c)
		case '\\':
			b = append(b, `\\`...)
		default:
			b = appendEscaped(b, target[i:i+1])
		}
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
