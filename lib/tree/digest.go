package tree

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digester hashes the contents of files, holes as zeros.
type Digester struct {
	// MaxHoles limits the bytes of holes, of all files together, that are hashed as zeros,
	// because a single line of input could take hours. More is a [*LimitError]. 0 stands
	// for DefaultMaxHoles; a negative number means no limit.
	MaxHoles int64

	holes int64 // hashed so far
}

// DefaultMaxHoles is the default of Digester.MaxHoles, in bytes: as many as take a minute or
// two to hash.
const DefaultMaxHoles = 128 << 30

// Digest returns the SHA-256 of e's content in hex digits. It returns "" if e is not a regular
// file, or is a hard link.
func (d *Digester) Digest(e *Entry) (string, error) {
	if sum := e.knownDigest(); sum != "" || e.Type != File || e.Hardlink != "" || e.IsLower() {
		return sum, nil
	}
	limit := cmp.Or(d.MaxHoles, DefaultMaxHoles)
	if d.holes += min(e.Size-e.DataSize(), 1<<63-1-d.holes); exceeds(d.holes, limit) {
		return "", &LimitError{
			Path: e.Path, What: fmt.Sprintf("%d bytes of holes to hash up to here", d.holes),
			Limit: limit, Which: LimitDigestHoles,
		}
	}
	h := sha256.New()
	if err := WriteExpanded(h, e); err != nil {
		return "", fmt.Errorf("%s: %w", printable(e.Path), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// knownDigest is the digest that the file e has in the stream it comes from, or "".
func (e *Entry) knownDigest() string {
	if words := e.Extra.list(); e.Type == File && len(words) > 0 && words[0].Name == digestWord {
		return words[0].Value
	}
	return ""
}
