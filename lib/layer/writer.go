package layer

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"ocipipe/lib/compression"
	"ocipipe/lib/tree"
)

// WriterOptions say what kind of archive is written.
type WriterOptions struct {
	// Layer writes the marks of a layer as the .wh. files of the OCI image
	// specification. Without it a tree that has marks is an error, [*MarkError].
	Layer bool

	// Compression is that of the archive; "" is Plain.
	Compression compression.Kind

	// Tap gets the archive as it is before compression; may be nil.
	Tap io.Writer

	// Warn is called by Close if sockets were left out of a layer; may be nil. Tar has none, so
	// a layer has a whiteout in place of each: what the layers below have at the name is hidden,
	// as it is by the socket.
	Warn func(string)
}

// Writer is a tree.Sink that writes a pax archive: ustar headers, and extended
// ones for what does not fit, sparse files in GNU tar's pax format 1.0. It keeps
// the order of the entries, and makes many small writes where it is plain.
type Writer struct {
	w    io.Writer
	z    *Compressor // the same as w; nil if the archive is plain
	opts WriterOptions
	open bool  // the data of a file is being written
	err  error // errComplete after Close

	sockets tree.Tally // that were left out

	aborted bool
}

// NewWriter starts an archive on w. The caller calls Close or Abort, which end the
// goroutines that compress it.
func NewWriter(w io.Writer, opts WriterOptions) (*Writer, error) {
	t := &Writer{w: w, opts: opts}
	if kind := opts.Compression; kind != "" && kind != compression.Plain {
		z, err := Compress(w, kind)
		if err != nil {
			return nil, err
		}
		t.w, t.z = z, z
	}
	if opts.Tap != nil {
		t.w = io.MultiWriter(opts.Tap, t.w)
	}
	return t, nil
}

// MarkError says that a tree that should be flat has a mark of a layer.
type MarkError struct {
	Path, What string
}

func (e *MarkError) Error() string {
	return fmt.Sprintf("%s: %s: the tree is a layer", e.Path, e.What)
}

// Add writes the entries of the archive that stand for e.
func (t *Writer) Add(e *tree.Entry) error {
	if t.err == nil {
		if t.err = t.add(e); t.err != nil && !errors.As(t.err, new(*MarkError)) {
			t.err = fmt.Errorf("%s: %w", e.Path, t.err)
		}
	}
	return t.err
}

// Close writes the end of the archive. It does not close the writer below.
func (t *Writer) Close() error {
	switch {
	case t.err == errComplete:
		return nil
	case t.err != nil:
		t.Abort(t.err)
		return t.err
	}
	if t.err = t.complete(); t.err != nil {
		return t.err
	}
	if text := t.sockets.LeftOut(); text != "" && t.opts.Warn != nil {
		t.opts.Warn("socket " + text)
	}
	t.err = errComplete
	return nil
}

func (t *Writer) complete() error {
	if err := t.write(make([]byte, 2*blockSize)); err != nil || t.z == nil {
		return err
	}
	return t.z.Close()
}

var errComplete = errors.New("archive is already complete")

// Abort makes every reader find the archive cut short. Some do not need the blocks at its
// end, so Abort writes an extended header without its data, unless the data of a file or a
// compressed stream is incomplete anyway.
func (t *Writer) Abort(cause error) {
	if t.err == errComplete || t.aborted {
		return
	}
	t.aborted = true
	if t.z != nil {
		t.z.Abort(cause)
	} else if !t.open {
		t.write(extendedHeader(blockSize)) // a second error does not matter
	}
	if t.err == nil {
		t.err = cause
	}
}

func (t *Writer) add(e *tree.Entry) error {
	if !t.opts.Layer {
		if what := markOf(e); what != "" {
			return &MarkError{e.Path, what}
		}
		return t.file(e)
	}
	dir, base := split(e.Path)
	switch {
	case strings.HasPrefix(e.Path, whiteoutPrefix) || strings.Contains(e.Path, "/"+whiteoutPrefix):
		return errors.New("the name would be taken for a whiteout")
	case e.Type == tree.Socket:
		t.sockets.Add(e.Path)
		return t.empty(path.Join(dir, whiteoutPrefix+base))
	case e.IsWhiteout():
		return t.empty(path.Join(dir, whiteoutPrefix+base))
	case !e.IsOpaque() && e.NoChange:
		return nil // an entry would change the attributes of the directory
	case !e.IsOpaque():
		return t.file(e)
	case !e.NoChange:
		if err := t.file(e); err != nil {
			return err
		}
	}
	return t.empty(path.Join(e.Path, whiteoutPrefix+whiteoutPrefix+".opq"))
}

// markOf says which mark of a layer e has, or "" if it has none.
func markOf(e *tree.Entry) string {
	switch {
	case e.IsWhiteout():
		return "whiteout"
	case e.IsOpaque():
		return "opaque directory"
	case e.NoChange:
		return "directory without attributes"
	case e.IsLower():
		return "hard link to a layer below"
	}
	return ""
}

// empty writes a file that is a mark.
func (t *Writer) empty(name string) error {
	return t.entry(&tree.Entry{Type: tree.File}, name, typeFile, 0)
}

func (t *Writer) file(e *tree.Entry) error {
	name := e.Path
	if name == "." {
		name = "./"
	} else if e.Type == tree.Dir {
		name += "/"
	}
	switch {
	case e.IsLower() && len(e.Lower.Targets) == 1:
		return t.link(e, name, e.Lower.Targets[0])
	case e.Lower != nil && t.opts.Layer:
		return fmt.Errorf("%w: hard link to %s in a layer below, or else to something else: tar says so only by the order of its entries", ErrUnsupported, e.Lower.Targets[0])
	case e.Hardlink != "":
		return t.link(e, name, e.Hardlink)
	}
	switch e.Type {
	case tree.File:
		if e.Extents != nil {
			return t.sparse(e, name)
		}
		if err := t.entry(e, name, typeFile, e.Size); err != nil {
			return err
		}
		return t.data(e, e.Size)
	case tree.Dir:
		return t.entry(e, name, typeDir, 0)
	case tree.Link:
		return t.entry(e, name, typeSymlink, 0)
	case tree.Char:
		return t.entry(e, name, typeChar, 0)
	case tree.Block:
		return t.entry(e, name, typeBlock, 0)
	case tree.Fifo:
		return t.entry(e, name, typeFifo, 0)
	}
	return fmt.Errorf("%w: tar has no %s", ErrUnsupported, e.Type)
}

// link writes e, a hard link to target.
func (t *Writer) link(e *tree.Entry, name, target string) error {
	l := *e
	l.Link = target
	return t.entry(&l, name, typeHardlink, 0)
}

// data writes e's content and pads it to a block. size is that of all data of the entry,
// with the map of a sparse file.
func (t *Writer) data(e *tree.Entry, size int64) error {
	want := e.DataSize()
	t.open = true
	if want > 0 {
		if e.Content == nil {
			return errors.New("the source carries no data")
		}
		n, err := e.Content.WriteTo(t.w)
		if err == nil && n != want {
			err = fmt.Errorf("content has %d bytes instead of %d", n, want)
		}
		if err != nil {
			return err
		}
	}
	t.open = false
	return t.write(make([]byte, -size&(blockSize-1)))
}

// sparse writes a file with holes: first its map, then its data.
func (t *Writer) sparse(e *tree.Entry, name string) error {
	xs := e.Extents
	if n := len(xs); n == 0 || xs[n-1].End() < e.Size {
		xs = append(xs[:n:n], tree.Extent{Off: e.Size}) // GNU tar marks the end of the last hole so
	}
	table := strconv.AppendInt(nil, int64(len(xs)), 10)
	for _, x := range xs {
		table = strconv.AppendInt(append(table, '\n'), x.Off, 10)
		table = strconv.AppendInt(append(table, '\n'), x.Len, 10)
	}
	table = append(table, '\n')
	table = append(table, make([]byte, -len(table)&(blockSize-1))...)
	dir, base := split(name)
	var r records
	r.add("GNU.sparse.major", "1")
	r.add("GNU.sparse.minor", "0")
	r.name("GNU.sparse.name", name)
	r.add("GNU.sparse.realsize", strconv.FormatInt(e.Size, 10))
	size := int64(len(table)) + e.DataSize()
	if size < 0 {
		return fmt.Errorf("%w: %d bytes of data and the map of its holes", ErrUnsupported, e.DataSize())
	}
	if err := t.entry(e, path.Join(dir, "GNUSparseFile.0", base), typeFile, size, r...); err != nil {
		return err
	}
	if err := t.write(table); err != nil {
		return err
	}
	return t.data(e, size)
}

func (t *Writer) write(b []byte) error {
	_, err := t.w.Write(b)
	return err
}

// records are the lines of an extended header.
type records []byte

// add appends "LEN KEY=VALUE\n"; LEN counts itself too.
func (r *records) add(key, value string) {
	n := len(key) + len(value) + 3
	size := n + len(strconv.Itoa(n))
	if len(strconv.Itoa(size)) > len(strconv.Itoa(n)) {
		size++
	}
	*r = fmt.Appendf(*r, "%d %s=%s\n", size, key, value)
}

// entry writes the headers of e under a name, for size bytes of data. extra are records for
// its extended header.
func (t *Writer) entry(e *tree.Entry, name string, kind byte, size int64, extra ...byte) error {
	r := records(extra)
	var b [blockSize]byte
	r.text(b[0:100], "path", name)
	r.text(b[157:257], "linkpath", e.Link)
	octal(b[100:108], int64(e.Mode))
	r.number(b[108:116], "uid", int64(e.UID))
	r.number(b[116:124], "gid", int64(e.GID))
	r.number(b[124:136], "size", size)
	r.time(b[136:148], e.Time)
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	if kind == typeChar || kind == typeBlock {
		r.number(b[329:337], "SCHILY.devmajor", int64(e.Dev.Major))
		r.number(b[337:345], "SCHILY.devminor", int64(e.Dev.Minor))
	}
	r.xattrs(e.Xattrs)
	if len(r) > maxExtended {
		return fmt.Errorf("extended header of %d bytes, over %d", len(r), maxExtended)
	}
	if len(r) > 0 {
		if err := t.extended(r); err != nil {
			return err
		}
	}
	sum(&b)
	return t.write(b[:])
}

// extended writes r as the extended header of the next entry.
func (t *Writer) extended(r records) error {
	if err := t.write(extendedHeader(len(r))); err != nil {
		return err
	}
	return t.write(append(r, make([]byte, -len(r)&(blockSize-1))...))
}

// extendedHeader returns the header that precedes n bytes of records.
func extendedHeader(n int) []byte {
	var b [blockSize]byte
	copy(b[:], "PaxHeaders/entry")
	for _, f := range [][]byte{b[108:116], b[116:124], b[136:148]} {
		octal(f, 0)
	}
	octal(b[100:108], 0o644)
	octal(b[124:136], int64(n))
	b[156] = typePax
	copy(b[257:], "ustar\x0000")
	sum(&b)
	return b[:]
}

// text puts s into the field f, and into a record if it does not fit.
func (r *records) text(f []byte, key, s string) {
	if copy(f, s) < len(s) {
		r.name(key, s)
	}
}

// name adds a record whose value may be any bytes.
func (r *records) name(key, s string) {
	if !utf8.ValidString(s) && !bytes.Contains(*r, []byte(" hdrcharset=BINARY\n")) {
		r.add("hdrcharset", "BINARY")
	}
	r.add(key, s)
}

// number puts n into the field f, or into a record if it does not fit.
func (r *records) number(f []byte, key string, n int64) {
	if n < 1<<(3*(len(f)-1)) {
		octal(f, n)
		return
	}
	octal(f, 0)
	r.add(key, strconv.FormatInt(n, 10))
}

func (r *records) time(f []byte, t tree.Time) {
	if t.Sec >= 0 && t.Sec < 1<<33 {
		octal(f, t.Sec)
		if t.Nsec == 0 {
			return
		}
	} else {
		octal(f, 0)
	}
	sign, sec, nsec := "", t.Sec, t.Nsec
	if sec < 0 && nsec > 0 {
		sec, nsec = sec+1, 1e9-nsec
	}
	if t.Sec < 0 {
		sign, sec = "-", -sec
	}
	text := fmt.Sprintf("%s%d.%09d", sign, uint64(sec), nsec) // the conversion is right for -2^63 too, which is its own negative
	r.add("mtime", strings.TrimSuffix(strings.TrimRight(text, "0"), "."))
}

// xattrs adds records in star's form. If a name has a "=", which would end the key of a
// record, it uses libarchive's form, in which a "+" stands for itself.
func (r *records) xattrs(xs []tree.Xattr) {
	for _, x := range xs {
		switch {
		case x == tree.Opaque:
		case strings.Contains(x.Name, "="):
			name := strings.ReplaceAll(url.QueryEscape(x.Name), "+", "%20")
			r.add("LIBARCHIVE.xattr."+name, base64.RawStdEncoding.EncodeToString([]byte(x.Value)))
		default:
			r.add("SCHILY.xattr."+x.Name, x.Value)
		}
	}
}

// octal fills f with the digits of n and a NUL; n must fit.
func octal(f []byte, n int64) {
	for i := len(f) - 2; i >= 0; i-- {
		f[i], n = '0'+byte(n&7), n>>3
	}
}

// sum sets the header's checksum.
func sum(b *[blockSize]byte) {
	total := int64(0)
	copy(b[148:156], "        ")
	for _, c := range b {
		total += int64(c)
	}
	octal(b[148:155], total)
}
