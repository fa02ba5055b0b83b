package tree

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"ocipipe/lib/blockio"
	"ocipipe/lib/magic"
)

// ReaderOptions are for NewReader.
type ReaderOptions struct {
	RequireCRC bool // the end line must have a CRC
	NeedData   bool // refuse a stream that carries no contents
}

// Reader is a Source that reads a tree stream. It checks every rule of the format. An error
// about a broken rule wraps ErrCorrupt and names the record and the byte. If the stream
// ends early, the error wraps io.ErrUnexpectedEOF, or is an [AbortError] with the cause
// that the writer left in an abort line.
type Reader struct {
	in      input
	opts    ReaderOptions
	data    Data
	props   []Property
	entry   Entry
	content *streamContent  // of the current entry, until it is written
	payload int64           // bytes of it that have not been read
	trailer bool            // the LF after them has not been read
	slab    []streamContent // contents for the next entries, allocated together
	records int64
	bytes   int64
	err     error
	scratch fields
}

// AbortError is the cause that an earlier stage gave for a stream that it could
// not complete.
type AbortError struct{ Message string }

func (e *AbortError) Error() string { return "earlier stage failed: " + e.Message }

// NewReader reads the head of a stream: its first line and the properties. It returns
// ErrForeign if the first line is not that of a stream.
func NewReader(r io.Reader, opts ReaderOptions) (*Reader, error) {
	s := &Reader{in: newInput(r), opts: opts}
	if err := s.head(); err != nil {
		return nil, s.fail(err)
	}
	return s, nil
}

// Data returns Inline if the stream carries contents, else None.
func (s *Reader) Data() Data { return s.data }

// Props returns the properties of the stream.
func (s *Reader) Props() []Property { return s.props }

// Close ends the source. Contents and Next then fail. It does not close the reader below.
func (s *Reader) Close() error {
	s.content = nil
	if s.err == nil {
		s.err = ErrClosed
	}
	return nil
}

// ErrForeign says that the input is not a tree stream at all. It wraps ErrCorrupt. If the
// input is recognised, it is inside a [*magic.Error].
var ErrForeign = corrupt("first line is not %q", firstWords+"inline")

// ErrNoContents says that a stream carries no contents, which its reader needs.
var ErrNoContents = errors.New("stream carries no contents of files (data=none)")

func (s *Reader) head() error {
	line, err := s.in.line()
	if err != nil {
		begun := len(line) > 0 && bytes.HasPrefix(line, []byte(firstWords)[:min(len(line), len(firstWords))])
		if err == io.ErrUnexpectedEOF && !begun || errors.Is(err, ErrCorrupt) {
			return ErrForeign
		}
		return err
	}
	switch string(line) {
	case firstWords + "inline":
		s.data = Inline
	case firstWords + "none":
		s.data = None
	default:
		return ErrForeign
	}
	if s.data == None && s.opts.NeedData {
		return ErrNoContents
	}
	for {
		if ahead, err := s.in.peek(len(propPrefix)); err != nil || string(ahead) != propPrefix {
			return nil // Next will return the error about the next line
		}
		if line, err = s.in.line(); err != nil {
			return err
		}
		if err := s.prop(line[len(propPrefix):]); err != nil {
			return err
		}
		if len(s.props) > maxProps || s.in.offset() > MaxLine {
			return corrupt("more than %d properties, or over %d bytes of them", maxProps, MaxLine)
		}
	}
}

func (s *Reader) prop(b []byte) error {
	key, value, ok := bytes.Cut(b, []byte("="))
	if !ok || !isPropKey(key) {
		return corrupt("property without a valid key")
	}
	for _, p := range s.props {
		if p.Key == string(key) {
			return corrupt("property %s appears twice", key)
		}
	}
	v, err := unescape(value)
	if err != nil {
		return corrupt("property %s: %w", key, err)
	}
	s.props = append(s.props, Property{string(key), v})
	return nil
}

// isPropKey reports whether b is [a-z][a-z0-9.-]*.
func isPropKey(b []byte) bool {
	for i, c := range b {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '.' || c == '-')) {
			return false
		}
	}
	return len(b) > 0
}

// Next returns the next entry. Its content can be written until the next call of Next or
// Close.
func (s *Reader) Next() (*Entry, error) {
	s.content = nil
	if s.err != nil {
		return nil, s.err
	}
	err := s.skipPayload()
	if err == nil {
		err = s.next()
	}
	if err != nil {
		s.err = err
		if err != io.EOF {
			s.err = s.fail(err)
		}
		return nil, s.err
	}
	return &s.entry, nil
}

func (s *Reader) next() error {
	start := s.in.offset()
	line, err := s.in.line()
	if err != nil {
		return err
	}
	switch {
	case len(line) == 0:
		return s.blank()
	case line[0] == '#':
		return s.end(line, start)
	}
	if err := s.scratch.parse(&s.entry, line, s.data); err != nil {
		if s.entry.Path == "" {
			return corrupt("%w", err)
		}
		return corrupt("%s: %w", printable(s.entry.Path), err)
	}
	s.records++
	if s.data == Inline {
		if s.payload = s.entry.DataSize(); s.payload > 0 {
			s.trailer = true
			s.bytes += s.payload
			s.content = s.newContent()
			s.entry.Content = s.content
		}
	}
	return nil
}

// blank returns the error for a blank line. An abort line may follow it, and then is the
// cause.
func (s *Reader) blank() error {
	if ahead, err := s.in.peek(len(abortPrefix)); err == nil && string(ahead) == abortPrefix {
		return io.ErrUnexpectedEOF
	}
	return corrupt("blank line")
}

// end checks the end line, which begins at the offset start, and that nothing follows it.
func (s *Reader) end(line []byte, start int64) error {
	if !bytes.HasPrefix(line, []byte(endPrefix)) {
		if bytes.HasPrefix(line, []byte(abortPrefix)) {
			return io.ErrUnexpectedEOF
		}
		return corrupt("comment in the middle of the stream")
	}
	var records, size int64
	var crc uint64
	words := bytes.Split(line[len(endPrefix):], []byte(" "))
	ok := len(words) == 2 || len(words) == 3
	ok = ok && cutNumber(words[0], "records=", &records) && cutNumber(words[1], "bytes=", &size)
	if ok && len(words) == 3 {
		crc, ok = cutCRC(words[2])
	}
	if !ok {
		return corrupt("malformed end line")
	}
	if records != s.records || size != s.bytes {
		return corrupt("end line counts %d records and %d bytes, the stream has %d and %d",
			records, size, s.records, s.bytes)
	}
	if len(words) == 2 && s.opts.RequireCRC {
		return corrupt("end line has no CRC")
	}
	if len(words) == 3 && uint32(crc) != s.in.crcBefore(start) {
		return corrupt("CRC-32 is %08x, the end line says %08x", s.in.crcBefore(start), crc)
	}
	if _, err := s.in.peek(1); err == nil {
		return corrupt("data after the end line")
	} else if err != io.ErrUnexpectedEOF {
		return err
	}
	return io.EOF
}

func cutNumber(b []byte, word string, n *int64) bool {
	b, ok := bytes.CutPrefix(b, []byte(word))
	if !ok {
		return false
	}
	v, ok := parseUint(b, 1<<63-1)
	*n = int64(v)
	return ok
}

func cutCRC(b []byte) (crc uint64, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte("crc32="))
	if !ok || len(b) != 8 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		crc = crc<<4 | uint64(c)
	}
	return crc, true
}

// streamContent is the content of an entry of a Reader. It can be written while the entry is
// the current one.
type streamContent struct{ s *Reader }

// newContent returns a new content. It allocates many at a time.
func (s *Reader) newContent() *streamContent {
	if len(s.slab) == 0 {
		s.slab = make([]streamContent, 256)
	}
	c := &s.slab[0]
	s.slab = s.slab[1:]
	c.s = s
	return c
}

func (c *streamContent) WriteTo(w io.Writer) (n int64, err error) {
	s := c.s
	if s.content != c {
		return 0, ErrGone
	}
	s.content = nil
	for s.payload > 0 {
		b, err := s.in.takeInto(w, s.payload)
		if err != nil {
			return n, s.fail(err)
		}
		s.payload -= int64(len(b))
		m, err := w.Write(b)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// skipPayload skips the rest of the current content and the LF after it.
func (s *Reader) skipPayload() error {
	for s.payload > 0 {
		b, err := s.in.take(s.payload)
		if err != nil {
			return err
		}
		s.payload -= int64(len(b))
	}
	if !s.trailer {
		return nil
	}
	s.trailer = false
	b, err := s.in.take(1)
	if err != nil {
		return err
	}
	if b[0] != '\n' {
		return corrupt("%s: no line feed after the content", printable(s.entry.Path))
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrCorrupt, fmt.Errorf(format, args...))
}

// fail adds the place to err, or returns the cause that the writer left in an abort line. It
// looks for that line not only if the input ends early: an abort line in the middle of a
// content may look like a fault in the next record.
func (s *Reader) fail(err error) error {
	cut := err == io.ErrUnexpectedEOF
	if !cut && !errors.Is(err, ErrCorrupt) {
		return err
	}
	at := s.in.offset()
	if cause := s.in.abortMessage(); cause != nil {
		return cause
	}
	if err == ErrForeign {
		return magic.Explain(err, s.in.head(magic.HeadSize), magic.Tree)
	}
	if cut {
		return &truncatedError{s.in.base + int64(s.in.end)}
	}
	return fmt.Errorf("record %d, before byte %d: %w", s.records+1, at, err)
}

// truncatedError says that a stream ends, at the offset at, without its end line.
type truncatedError struct{ at int64 }

func (e *truncatedError) Error() string {
	return fmt.Sprintf("tree stream is cut short at byte %d", e.at)
}
func (e *truncatedError) Unwrap() error { return io.ErrUnexpectedEOF }

// printable returns path for a message: control characters, and bytes that are not
// UTF-8, are escaped.
func printable(path string) string {
	var b strings.Builder
	for i, r := range path {
		_, n := utf8.DecodeRuneInString(path[i:])
		if r != utf8.RuneError && !unicode.IsControl(r) {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(path[i : i+n]) {
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return b.String()
}

// input reads a stream through a large buffer, and computes the CRC of the bytes taken.
type input struct {
	r        io.Reader
	buf      []byte
	pos, end int    // in buf: the bytes that were read and not taken
	crc      uint32 // of everything before hashed
	hashed   int    // in buf
	base     int64  // offset of buf in the stream
	err      error  // of r; io.ErrUnexpectedEOF at its end
}

// chunk is how many bytes are read at once, a good part of what a wide pipe holds.
const chunk = 256 << 10

func newInput(r io.Reader) input {
	return input{r: r, buf: make([]byte, abortWindow+MaxLine+chunk)}
}

// offset is the offset of the next byte in the stream.
func (in *input) offset() int64 { return in.base + int64(in.pos) }

// head returns the first n bytes of the stream, or fewer if no more were read or kept.
func (in *input) head(n int) []byte {
	if in.base > 0 {
		return in.buf[:0]
	}
	return in.buf[:min(n, in.end)]
}

// more reads at least one byte into the buffer. If the buffer is nearly full, more first
// moves to its front the bytes that were not taken, and those in the window before them, in
// which an abort line may be.
func (in *input) more() error {
	if in.err != nil {
		return in.err
	}
	if len(in.buf)-in.end < chunk && in.pos > abortWindow {
		in.crc = crc32.Update(in.crc, crc32.IEEETable, in.buf[in.hashed:in.pos])
		from := in.pos - abortWindow
		copy(in.buf, in.buf[from:in.end])
		in.base += int64(from)
		in.pos, in.end, in.hashed = in.pos-from, in.end-from, in.pos-from
	}
	n, err := in.read(in.buf[in.end:min(in.end+chunk, len(in.buf))])
	in.end += n
	return err
}

// read reads at least one byte into p, or returns an error.
func (in *input) read(p []byte) (int, error) {
	for range 100 {
		n, err := in.r.Read(p)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		in.err = err
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	in.err = io.ErrNoProgress
	return 0, in.err
}

// peek returns the next n bytes without taking them.
func (in *input) peek(n int) ([]byte, error) {
	for in.end-in.pos < n {
		if err := in.more(); err != nil {
			return nil, err
		}
	}
	return in.buf[in.pos : in.pos+n], nil
}

// line takes a line and returns it without its LF. The line is valid until the next call.
// If the input ends first, line returns the rest and the error.
func (in *input) line() ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(in.buf[in.pos+seen:in.end], '\n'); i >= 0 && seen+i < MaxLine {
			line := in.buf[in.pos : in.pos+seen+i]
			in.pos += seen + i + 1
			return line, nil
		}
		if seen = in.end - in.pos; seen >= MaxLine {
			return nil, corrupt("line longer than %d bytes", MaxLine)
		}
		if err := in.more(); err != nil {
			return in.buf[in.pos:in.end], err
		}
	}
}

// take takes between 1 and n bytes, as many as are in the buffer.
func (in *input) take(n int64) ([]byte, error) {
	if in.pos == in.end {
		if err := in.more(); err != nil {
			return nil, err
		}
	}
	b := in.buf[in.pos:in.end]
	if int64(len(b)) > n {
		b = b[:n]
	}
	in.pos += len(b)
	return b, nil
}

// directMin is how many bytes are worth a read of their own.
const directMin = 64 << 10

// takeInto is take of what is going to be written to w: if nothing is in the buffer, and w
// lends memory, it reads into that memory.
func (in *input) takeInto(w io.Writer, n int64) ([]byte, error) {
	if in.pos < in.end || n < directMin || in.err != nil {
		return in.take(n)
	}
	mem := blockio.Lend(w)
	if len(mem) < directMin {
		return in.take(n)
	}
	b := mem[:min(int64(len(mem)), n)]
	m, err := in.read(b)
	if err != nil {
		return nil, err
	}
	in.pass(b[:m])
	return b[:m], nil
}

// pass counts b, which was read and taken without the buffer, which is empty. It keeps the
// window in which an abort line may be.
func (in *input) pass(b []byte) {
	in.crc = crc32.Update(in.crc, crc32.IEEETable, in.buf[in.hashed:in.pos])
	in.crc = crc32.Update(in.crc, crc32.IEEETable, b)
	at := in.offset() + int64(len(b))
	kept := max(0, min(in.pos, abortWindow-len(b)))
	copy(in.buf, in.buf[in.pos-kept:in.pos])
	kept += copy(in.buf[kept:], b[max(0, len(b)-abortWindow):])
	in.pos, in.end, in.hashed, in.base = kept, kept, kept, at-int64(kept)
}

// crcBefore returns the CRC of everything before the offset off, which must be in the
// buffer.
func (in *input) crcBefore(off int64) uint32 {
	return crc32.Update(in.crc, crc32.IEEETable, in.buf[in.hashed:off-in.base])
}

// abortMessage looks for an abort line at the end of the input, which has been reached or
// must be near. It returns an AbortError with the message, or nil.
func (in *input) abortMessage() error {
	for in.err == nil && in.end-in.pos < abortWindow {
		in.more()
	}
	tail := in.buf[max(0, in.end-abortWindow):in.end]
	i := bytes.LastIndex(tail, []byte("\n"+abortPrefix))
	if i < 0 || tail[len(tail)-1] != '\n' || in.err != io.ErrUnexpectedEOF {
		return nil
	}
	msg := tail[i+1+len(abortPrefix) : len(tail)-1]
	text, err := unescape(msg)
	if err != nil || len(msg) > maxAbort {
		return nil
	}
	return &AbortError{Message: text}
}
