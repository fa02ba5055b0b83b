// Package compression tells from the first bytes of a stream how it is compressed, and
// for formats that ocipipe does not read, which program unpacks them.
package compression

import "bytes"

// Kind is how a stream is compressed.
type Kind string

// The kinds that ocipipe reads.
const (
	Plain Kind = "plain"
	Gzip  Kind = "gzip"
	Zstd  Kind = "zstd"
)

// HeadSize is how many bytes Detect needs to tell all kinds apart.
const HeadSize = 10

// Error is a compression that is recognised but not supported.
type Error struct {
	Name     string
	Unpacker string // a command that unpacks to standard output the file that is appended to it
}

func (e *Error) Error() string { return "unsupported compression: " + e.Name }

// unsupported are compressions that are recognised but not read. A tar begins with a
// name, so a magic number must not be the beginning of a likely one.
var unsupported = []struct {
	magic string
	Error
}{
	{"\xfd7zXZ\x00", Error{"xz", "xz -dc"}},
	{"\x04\x22\x4d\x18", Error{"lz4", "lz4 -dc"}},
	{"\x02\x21\x4c\x18", Error{"lz4", "lz4 -dc"}}, // its legacy format
	{"LZIP\x01", Error{"lzip", "lzip -dc"}},
	{"LZIP\x00", Error{"lzip", "lzip -dc"}},
	{"\x89LZO\x00", Error{"lzop", "lzop -dc"}},
	{"\x1f\x9d", Error{"compress (.Z)", "gzip -dc"}},
}

// Unpacker returns the command that unpacks to standard output the file that is appended to
// it, for a Kind or the Name of an Error. For any other name it returns "".
func Unpacker(name string) string {
	switch Kind(name) {
	case Gzip:
		return "gzip -dc"
	case Zstd:
		return "zstd -dc"
	case "bzip2":
		return "bzip2 -dc"
	}
	for _, u := range unsupported {
		if u.Name == name {
			return u.Unpacker
		}
	}
	return ""
}

// Detect returns the kind of a stream that begins with head: its first HeadSize bytes,
// or all of a shorter stream. A stream that is not recognised is plain. A compression
// that is not supported is an [*Error].
func Detect(head []byte) (Kind, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return Gzip, nil
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), isSkippable(head):
		return Zstd, nil
	case isBzip2(head):
		return "", &Error{"bzip2", Unpacker("bzip2")}
	}
	for _, u := range unsupported {
		if bytes.HasPrefix(head, []byte(u.magic)) {
			return "", &u.Error
		}
	}
	return Plain, nil
}

// IsPlain reports whether a stream that begins with head is read as it is.
func IsPlain(head []byte) bool {
	kind, err := Detect(head)
	return err == nil && kind == Plain
}

// isSkippable reports whether head begins a skippable frame of zstd (RFC 8878, 3.1.2).
func isSkippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18"))
}

// isBzip2 looks for the first block, or for the end mark of an empty stream.
func isBzip2(head []byte) bool {
	if len(head) < 10 || string(head[:3]) != "BZh" || head[3] < '1' || head[3] > '9' {
		return false
	}
	block := string(head[4:10])
	return block == "1AY&SY" || block == "\x17\x72\x45\x38\x50\x90"
}
