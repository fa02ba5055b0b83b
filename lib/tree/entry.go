// Package tree is the model that every stage shares: a file ([Entry]), where
// files come from ([Source]) and where they go ([Sink]). It reads and writes the
// tree stream, holds a tree in memory, and merges layers.
//
// FORMAT.md in this directory specifies the stream for authors of filters.
//
// A tree has one of two forms. A flat tree is what a machine sees: it has no whiteouts, and
// every directory has attributes of its own. A layer is a change to the tree below it, and
// may have four marks, all of them in Entry (a stream has two words for the last):
//
//	whiteout   a character device 0:0 hides the name in the layers below
//	opaque     xattr trusted.overlay.opaque=y hides the directory's content in the layers below
//	NoChange   a directory that the layer only implies: it has no attributes
//	Lower      a hard link whose target is, or may be, in a layer below
package tree

import (
	"fmt"
	"io"
	"time"
)

// Type is the kind of a file.
type Type uint8

// The kinds of files, in the order in which FORMAT.md lists them.
const (
	File Type = iota + 1
	Dir
	Link
	Char
	Block
	Fifo
	Socket
)

// Entry is one name in a tree, with its inode.
//
// Paths are bytes and relative to the root: "." is the root, "a/b" a file below
// it. They are clean: no empty, "." or ".." component, no leading or trailing
// slash.
type Entry struct {
	Path     string
	Link     string // target of a symbolic link, any bytes but NUL
	Hardlink string // path of the name that this one is a hard link to; "" if it is not a hard link

	Time     Time
	Size     int64 // of a file, holes included; 0 for every other type
	UID, GID uint32
	Dev      Device // of a character or block device
	Lower    *Lower // not nil: the name is, or may be, a hard link to a file of the layers below
	Nlink    uint32 // number of names of the inode (directories: 2 + subdirectories); 0: not counted

	Mode     uint16 // permission bits, 07777 at most
	Type     Type
	NoChange bool // directory that a layer only implies; Mode, UID, GID and Time have no meaning

	Extents []Extent  // where a sparse file has data; nil: everywhere; empty but not nil: nowhere
	Xattrs  []Xattr   // in byte order of the names, each once
	Extra   *Keywords // sha256digest and x- keywords of the stream; nil: none

	Content Content // data of a file; nil if it has none (DataSize is 0, Hardlink is set, or the stream carries no data)
}

// Time is a moment as file systems store it: Sec seconds since 1970, which may
// be negative, plus Nsec nanoseconds, 0 to 999999999. 1.5 s before 1970 is
// {-2, 500000000}.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Compare returns -1, 0 or +1 as t is before, at or after u.
func (t Time) Compare(u Time) int {
	switch {
	case t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec:
		return -1
	case t == u:
		return 0
	}
	return 1
}

// Retimed is t after options about times: mtime in place of it, unless that is nil, and
// no later than clamp, unless that is nil.
func (t Time) Retimed(mtime, clamp *Time) Time {
	if mtime != nil {
		t = *mtime
	}
	if clamp != nil && t.Compare(*clamp) > 0 {
		t = *clamp
	}
	return t
}

// TimeOf converts the instant t.
func TimeOf(t time.Time) Time {
	return Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// Device is a device number as the Linux kernel has it.
type Device struct {
	Major, Minor uint32
}

// Extent is a run of data in a sparse file, in bytes.
type Extent struct {
	Off, Len int64
}

// End is the offset of the first byte after x.
func (x Extent) End() int64 { return x.Off + x.Len }

// Xattr is one extended attribute with its full name ("security.capability").
type Xattr struct {
	Name, Value string
}

// Keyword is a word of the stream that the model does not interpret.
type Keyword struct {
	Name, Value string
}

// Keywords is a list of keywords in byte order of the names, each once.
type Keywords []Keyword

func (k *Keywords) String() string { return fmt.Sprintf("%q", k.list()) }

// list returns the keywords; nil has none.
func (k *Keywords) list() []Keyword {
	if k == nil {
		return nil
	}
	return *k
}

// Content is the data of one regular file. Its entry has the Size and Extents.
//
// WriteTo writes the data bytes: those of the entry's extents, one extent after the other,
// or all Size bytes if the entry has no extents. It leaves out holes. It returns an error
// if the content has fewer bytes than the entry says.
//
// Content can be written any number of times until its source is closed. The content of
// a stream (a [Reader], or a single layer as it is) can be written once, before the next
// call of Next or Close; content that is not written is skipped. Writing it later is an
// error ([ErrGone]) and never gives other bytes. Content in something that the caller has
// opened or holds, such as an image, is valid as long as that is, even after its source was
// closed. Only one goroutine at a time may write contents of a source.
//
// Content that does not come from a stream is a [RandomContent], too: ReadAt reads the file
// as a machine sees it, by offsets in the file and with holes as zeros. Any number of
// goroutines may call it at once. See [Entry.ReaderAt].
type Content interface {
	io.WriterTo
}

// Lower says that a name is a hard link to a file of the layers below: to the first of
// Targets, paths in these layers, that exists. If none exists and Else is set, the rest of
// the entry is valid: the name is an inode of its own, or a hard link within the layer. If
// none exists and Else is not set, that is an error; the rest of the entry, an empty file,
// has no meaning then.
type Lower struct {
	Targets []string // 1 to MaxTargets
	Else    bool

	inode *Entry // with Else, in a Tree: the inode that the rest of the entry describes
}

// String lists the targets, followed by "else" if Else is set.
func (l *Lower) String() string {
	s := fmt.Sprintf("%q", l.Targets)
	if l.Else {
		s += " else"
	}
	return s
}

// OrLower returns the Entry that a Tree has for a name that is bound to the first of targets
// that exists in the layers below, or else to inode.
func OrLower(inode *Entry, targets []string) *Entry {
	return &Entry{Type: inode.Type, Link: inode.Link, Lower: &Lower{Targets: targets, Else: true, inode: inode}}
}

// Inode returns e, or, if OrLower made e, the inode that OrLower was given.
func (e *Entry) Inode() *Entry {
	if e.Lower != nil && e.Lower.inode != nil {
		return e.Lower.inode
	}
	return e
}

// IsLower reports whether e is a hard link that only the layers below can bind.
func (e *Entry) IsLower() bool { return e.Lower != nil && !e.Lower.Else }

// Xattr returns the value of the extended attribute name; ok is false if e does not have it.
func (e *Entry) Xattr(name string) (value string, ok bool) {
	for _, x := range e.Xattrs {
		if x.Name == name {
			return x.Value, true
		}
	}
	return "", false
}

// DataSize is the number of bytes that the content of e writes: its size without holes.
func (e *Entry) DataSize() int64 {
	if e.Type != File || e.Hardlink != "" {
		return 0
	}
	if e.Extents == nil {
		return e.Size
	}
	return dataLen(e.Extents)
}

func dataLen(xs []Extent) (n int64) {
	for _, x := range xs {
		n += x.Len
	}
	return n
}
