// Package magic tells kinds of files apart by their first bytes. It is for messages: where an
// input is not of the kind that a reader wants, the message says what it is instead.
package magic

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ocipipe/lib/compression"
)

// Kind is a kind of file, as it is called in messages.
type Kind string

// The kinds. Those in a compression are "compressed with NAME".
const (
	Unknown  Kind = ""
	Empty    Kind = "empty"
	Tree     Kind = "a tree stream"
	Mtree    Kind = "an mtree listing"
	Tar      Kind = "a tar archive"
	Cpio     Kind = "a cpio archive"
	Zip      Kind = "a ZIP archive"
	SevenZip Kind = "a 7z archive"
	Ar       Kind = "an ar archive or Debian package"
	RPM      Kind = "an RPM package"
	EROFS    Kind = "an EROFS image"
	Ext4     Kind = "an ext4 file system"
	Squashfs Kind = "a SquashFS image"
	XFS      Kind = "an XFS file system"
	VMDK     Kind = "a VMDK disk"
	QCOW2    Kind = "a QCOW2 disk"
	VHDX     Kind = "a VHDX disk"
	GPT      Kind = "a disk with partitions (GPT)"
	ELF      Kind = "a program (ELF)"
	Script   Kind = "a script"
	PDF      Kind = "a PDF document"
	HTML     Kind = "HTML or XML"
	JSON     Kind = "JSON"
	Text     Kind = "text"
)

// What is wanted of which there is no telling by the first bytes.
const (
	Image    Kind = "an image archive"
	Snapshot Kind = "an archive of a snapshot"
	Patches  Kind = "a list of patches"
)

// HeadSize is how many bytes Detect needs to tell all kinds apart.
const HeadSize = 2 << 10

// signatures are in the order in which they are tried: what is longer or further inside the
// file says more than a few bytes at its beginning.
var signatures = []struct {
	off   int
	bytes string
	kind  Kind
}{
	{1024, "\xe2\xe1\xf5\xe0", EROFS},
	{512, "EFI PART", GPT},
	{257, "ustar", Tar},
	{0, "#mtree ocipipe-tree ", Tree},
	{0, "#mtree", Mtree},
	{0, "# Disk DescriptorFile", VMDK},
	{0, "KDMV", VMDK},
	{0, "QFI\xfb", QCOW2},
	{0, "vhdxfile", VHDX},
	{0, "hsqs", Squashfs},
	{0, "XFSB", XFS},
	{0, "PK\x03\x04", Zip},
	{0, "7z\xbc\xaf\x27\x1c", SevenZip},
	{0, "!<arch>\n", Ar},
	{0, "\xed\xab\xee\xdb", RPM},
	{0, "070701", Cpio},
	{0, "070707", Cpio},
	{0, "\xc7\x71", Cpio},
	{0, "\x7fELF", ELF},
	{0, "%PDF-", PDF},
	{0, "#!", Script},
	{1080, "\x53\xef", Ext4}, // its two bytes say the least
}

// Detect returns the kind of a file that begins with head: its first HeadSize bytes or more, or
// all of a shorter file. A file that is not recognised is Unknown.
func Detect(head []byte) Kind {
	head = head[:min(len(head), HeadSize)]
	if len(head) == 0 {
		return Empty
	}
	for _, s := range signatures {
		if len(head) > s.off && bytes.HasPrefix(head[s.off:], []byte(s.bytes)) {
			return s.kind
		}
	}
	if kind := packed(head); kind != Unknown {
		return kind
	}
	return written(head)
}

// packed returns the kind of a compressed file, else Unknown.
func packed(head []byte) Kind {
	kind, err := compression.Detect(head)
	if unread := (*compression.Error)(nil); errors.As(err, &unread) {
		return Compressed(unread.Name)
	}
	if kind == compression.Plain {
		return Unknown
	}
	return Compressed(string(kind))
}

// Compressed returns the kind of a file in the compression called name.
func Compressed(name string) Kind { return Kind("compressed with " + name) }

// IsCompressed reports whether k is a compression.
func (k Kind) IsCompressed() bool { return strings.HasPrefix(string(k), "compressed with ") }

// written returns the kind of a file of text, else Unknown.
func written(head []byte) Kind {
	if len(head) == HeadSize { // the last character may have been cut in half
		for range utf8.UTFMax - 1 {
			if r, n := utf8.DecodeLastRune(head); r == utf8.RuneError && n == 1 {
				head = head[:len(head)-1]
			}
		}
	}
	if !utf8.Valid(head) || bytes.ContainsFunc(head, func(r rune) bool { return !unicode.IsGraphic(r) && !unicode.IsSpace(r) }) {
		return Unknown
	}
	switch text := bytes.TrimSpace(head); {
	case len(text) == 0:
		return Unknown
	case text[0] == '<':
		return HTML
	case follows(text, '{', `"}`), follows(text, '[', `{["]-0123456789`): // else it may be an INI file, TOML or YAML
		return JSON
	case len(text) < nameSize && !bytes.ContainsRune(head, '\n'):
		return Unknown
	}
	return Text
}

// follows reports whether text begins with first and then, after spaces, one of the bytes in
// next, or ends.
func follows(text []byte, first byte, next string) bool {
	if text[0] != first {
		return false
	}
	rest := bytes.TrimSpace(text[1:])
	return len(rest) == 0 || strings.IndexByte(next, rest[0]) >= 0
}

// nameSize is as many bytes as the name may have with which a tar begins. A shorter text is
// taken for the beginning of a tar unless it has a line end.
const nameSize = 100

// Error says that an input is of another kind than its reader wants.
type Error struct {
	Want, Is Kind
	Err      error // what reading it as Want gave
}

func (e *Error) Error() string {
	if e.Is == Empty {
		return "the input is empty"
	}
	return "is " + string(e.Is) + ", not " + string(e.Want)
}

func (e *Error) Unwrap() error { return e.Err }

// Explain returns err, which reading an input as want gave. If the input begins with head, and
// that is recognised as another kind, it returns an [*Error] that wraps err. What is of one of
// the kinds in right can be want, as a tar archive can be the archive of an image.
func Explain(err error, head []byte, want Kind, right ...Kind) error {
	is := Detect(head)
	if err == nil || is == Unknown || is == want || slices.Contains(right, is) {
		return err
	}
	return &Error{want, is, err}
}

// ExplainFile is Explain of an input that can be read at random.
func ExplainFile(err error, r io.ReaderAt, want Kind, right ...Kind) error {
	var head [HeadSize]byte
	n, readErr := r.ReadAt(head[:], 0)
	if readErr != nil && readErr != io.EOF {
		return err
	}
	return Explain(err, head[:n], want, right...)
}
