package cli

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// UUID is a flag in the usual form, 8-4-4-4-12 hex digits.
type UUID [16]byte

// UnmarshalText parses the value of the flag.
func (u *UUID) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "-", ""))
	if err != nil || len(b) != len(u) || len(text) != 36 {
		return fmt.Errorf("%q is not a UUID such as 01234567-89ab-cdef-0123-456789abcdef", text)
	}
	copy(u[:], b)
	return nil
}

// Size is a flag that takes a size, for a pointer that is nil without the flag.
type Size int64

// UnmarshalText parses the value of the flag.
func (n *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	*n = Size(v)
	return err
}

// SizeOrNone is a flag that takes a size as --size=64M does, or "none" for 0.
type SizeOrNone int64

// UnmarshalText parses the value of the flag.
func (n *SizeOrNone) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*n = 0
		return nil
	}
	v, err := ParseSize(string(text))
	if err == nil && v == 0 {
		err = fmt.Errorf("%q is no size: say none", text)
	}
	*n = SizeOrNone(v)
	return err
}
