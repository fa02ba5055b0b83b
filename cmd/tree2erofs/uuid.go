package main

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// uuid is a flag in the usual form, 8-4-4-4-12 hex digits.
type uuid [16]byte

// UnmarshalText parses the value of the flag.
func (u *uuid) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "-", ""))
	if err != nil || len(b) != len(u) || len(text) != 36 {
		return fmt.Errorf("%q is not a UUID such as 01234567-89ab-cdef-0123-456789abcdef", text)
	}
	copy(u[:], b)
	return nil
}
