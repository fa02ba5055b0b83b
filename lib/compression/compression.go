// Package compression tells by its first bytes how a stream is compressed: which
// decoder reads it, or which program, where none of ours does.
package compression

import "bytes"

// Kind is how a stream is compressed.
type Kind string

// The kinds that are read.
const (
	Plain Kind = "plain"
	Gzip  Kind = "gzip"
	Zstd  Kind = "zstd"
)

// HeadSize is how many bytes tell all kinds apart.
const HeadSize = 10

// Error is a compression that is known and not read.
type Error struct {
	Name     string
	Unpacker string // the command that unpacks FILE when that is put behind it
}

func (e *Error) Error() string { return "unsupported compression: " + e.Name }

// unread are compressions that are not read. A tar begins with a name, so that their
// first bytes alone must be none, or what follows them.
var unread = []struct {
	magic string
	Error
}{
	{"\xfd7zXZ\x00", Error{"xz", "xz -dc"}},
	{"\x04\x22\x4d\x18", Error{"lz4", "lz4 -dc"}},
	{"\x02\x21\x4c\x18", Error{"lz4", "lz4 -dc"}}, // before its frames
	{"LZIP\x01", Error{"lzip", "lzip -dc"}},
	{"LZIP\x00", Error{"lzip", "lzip -dc"}},
	{"\x89LZO\x00", Error{"lzop", "lzop -dc"}},
	{"\x1f\x9d", Error{"compress (.Z)", "gzip -dc"}},
}

// Detect tells the kind of a stream that begins with head, its first HeadSize bytes or
// all there are. What is not known as compressed is plain; what is known and not read
// is an [*Error].
func Detect(head []byte) (Kind, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return Gzip, nil
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), isSkippable(head):
		return Zstd, nil
	case isBzip2(head):
		return "", &Error{"bzip2", "bzip2 -dc"}
	}
	for _, u := range unread {
		if bytes.HasPrefix(head, []byte(u.magic)) {
			return "", &u.Error
		}
	}
	return Plain, nil
}

// isSkippable knows a frame of zstd that its decoder passes over.
func isSkippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18"))
}

// isBzip2 looks for the first block, or for the end of an empty stream.
func isBzip2(head []byte) bool {
	if len(head) < 10 || string(head[:3]) != "BZh" || head[3] < '1' || head[3] > '9' {
		return false
	}
	block := string(head[4:10])
	return block == "1AY&SY" || block == "\x17\x72\x45\x38\x50\x90"
}
