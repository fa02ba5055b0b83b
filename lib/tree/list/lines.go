// Package list shows trees to people: one line for each file ([Lines]), totals of
// directories ([Totals]), what takes the space ([Sizes]), and the content of one file
// ([Find]).
//
// What it writes is text. Names from a tree may be hostile: every byte that is not part of a
// printable character of UTF-8 is written as \ooo, and so is the backslash. So a name never
// ends a line, a terminal obeys no part of it, and no two names look the same for that reason.
package list

import (
	"bufio"
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"ocipipe/lib/tree"
)

// LineOptions are for Lines.
type LineOptions struct {
	Dir      string         // only this path and what is below it; "" is all
	Digester *tree.Digester // adds the digest of each file; nil adds none
}

// Lines writes a line for each entry of src, in its order:
//
//	-rwxr-xr-x+  2     0     0      14768 2024-01-31T12:00:00Z /usr/bin/true link to /bin/true
//
// These are the type and permissions, + if there are extended attributes, the number of names,
// owner, group, size, time, perhaps the digest, and the path. The size is that of a file or
// of the target of a symbolic link, or a device's number; others have none. "-" stands for
// what there is not. The columns do not depend on other lines, so that listings can be
// compared by diff.
//
// If ctx is done, Lines returns its cause. It is an error if Dir is not in src.
func Lines(ctx context.Context, w io.Writer, src tree.Source, opts LineOptions) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var line []byte
	err := each(ctx, src, opts.Dir, func(e *tree.Entry) (err error) {
		digest := ""
		if opts.Digester != nil {
			if digest, err = opts.Digester.Digest(e); err != nil {
				return err
			}
		}
		line = appendLine(line[:0], e, opts.Digester != nil, digest)
		_, err = out.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// Widths of the columns, and the form of times.
const (
	nlinkWidth  = 3
	idWidth     = 5
	sizeWidth   = 10
	digestWidth = 64
	timeForm    = "2006-01-02T15:04:05Z"
)

// Suffixes of paths. In a name they are escaped.
const (
	arrow      = " -> "
	linkTo     = " link to "
	orLinkTo   = " or link to "
	inLower    = " (in a layer below)"
	isWhiteout = " (whiteout)"
	isOpaque   = " (opaque)"
)

func appendLine(b []byte, e *tree.Entry, withDigest bool, digest string) []byte {
	b = appendMode(b, e)
	b = appendRight(b, nlinkWidth, orNone(uint64(e.Nlink), e.Nlink > 0))
	b = appendRight(b, idWidth, orNone(uint64(e.UID), !e.NoChange))
	b = appendRight(b, idWidth, orNone(uint64(e.GID), !e.NoChange))
	b = appendRight(b, sizeWidth, sizeOf(e))
	b = appendRight(b, len(timeForm), timeOf(e))
	if withDigest {
		if digest == "" {
			digest = "-"
		}
		b = append(b, ' ')
		b = append(b, digest...)
		for range digestWidth - len(digest) {
			b = append(b, ' ')
		}
	}
	b = append(append(b, ' '), Path(e.Path)...)
	switch {
	case e.IsLower():
		b = append(append(append(b, linkTo...), Path(lastOf(e.Lower.Targets))...), inLower...)
	case e.Hardlink != "":
		b = append(append(b, linkTo...), Path(e.Hardlink)...)
	case e.Type == tree.Link:
		b = append(append(b, arrow...), escape(e.Link)...)
	case e.IsWhiteout():
		b = append(b, isWhiteout...)
	case e.IsOpaque():
		b = append(b, isOpaque...)
	}
	if e.Lower != nil && e.Lower.Else {
		b = append(append(append(b, orLinkTo...), Path(lastOf(e.Lower.Targets))...), inLower...)
	}
	return append(b, '\n')
}

// lastOf is the target that is there in most cases: the others are names in the layers between.
func lastOf(targets []string) string { return targets[len(targets)-1] }

var typeLetters = [...]byte{
	tree.File: '-', tree.Dir: 'd', tree.Link: 'l', tree.Char: 'c', tree.Block: 'b', tree.Fifo: 'p', tree.Socket: 's',
}

// appendMode appends the type and the permissions as ls has them, and + or a space.
func appendMode(b []byte, e *tree.Entry) []byte {
	b = append(b, typeLetters[e.Type])
	if e.NoChange {
		return append(b, "????????? "...)
	}
	const letters = "rwxrwxrwx"
	for i := range letters {
		if e.Mode>>(8-i)&1 != 0 {
			b = append(b, letters[i])
		} else {
			b = append(b, '-')
		}
	}
	perms := b[len(b)-len(letters):]
	for i, special := range []byte("sst") { // setuid, setgid, sticky
		if e.Mode>>(11-i)&1 == 0 {
			continue
		}
		if x := &perms[3*i+2]; *x == '-' {
			*x = special - 'a' + 'A'
		} else {
			*x = special
		}
	}
	if slices.ContainsFunc(e.Xattrs, func(x tree.Xattr) bool { return x != tree.Opaque }) {
		return append(b, '+')
	}
	return append(b, ' ')
}

func orNone(n uint64, known bool) string {
	if !known {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

func sizeOf(e *tree.Entry) string {
	switch e.Type {
	case tree.File:
		return strconv.FormatInt(e.Size, 10)
	case tree.Link:
		return strconv.Itoa(len(e.Link))
	case tree.Char, tree.Block:
		return strconv.FormatUint(uint64(e.Dev.Major), 10) + "," + strconv.FormatUint(uint64(e.Dev.Minor), 10)
	}
	return "-"
}

// The seconds between which a year has four digits.
const (
	year0     = -62167219200
	year10000 = 253402300800
)

// timeOf is the time of e in UTC, or the seconds since 1970 of a year that has not four digits.
func timeOf(e *tree.Entry) string {
	switch sec := e.Time.Sec; {
	case e.NoChange:
		return "-"
	case sec < year0 || sec >= year10000:
		return "@" + strconv.FormatInt(sec, 10)
	default:
		return time.Unix(sec, 0).UTC().Format(timeForm)
	}
}

// appendRight appends a space and s, to the right of a column.
func appendRight(b []byte, width int, s string) []byte {
	for range 1 + max(0, width-len(s)) {
		b = append(b, ' ')
	}
	return append(b, s...)
}
