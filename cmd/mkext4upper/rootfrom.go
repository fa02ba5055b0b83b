package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/ext4"
	"ocipipe/lib/tree"
)

// Where the superblocks of both formats are, and their magic numbers in it.
const (
	superEnd    = 1024 + 64
	erofsOffset = 1024
	erofsMagic  = 0xE0F5E1E2
	ext4Offset  = 1024 + 56
	ext4Magic   = 0xEF53
)

// rootOf is the root directory of an image; nil if that has no attributes.
func rootOf(env *cli.Env, path string) (*tree.Entry, error) {
	f, err := env.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := lookupRoot(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if e.NoChange {
		return nil, nil
	}
	return e, nil
}

func lookupRoot(f *os.File) (*tree.Entry, error) {
	size, err := f.Seek(0, io.SeekEnd) // a device has it too
	if err != nil {
		return nil, err
	}
	var b [superEnd]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case binary.LittleEndian.Uint32(b[erofsOffset:]) == erofsMagic:
		img, err := erofs.Open(f, size)
		if err != nil {
			return nil, err
		}
		return img.Lookup(".")
	case binary.LittleEndian.Uint16(b[ext4Offset:]) == ext4Magic:
		img, err := ext4.Open(f, size)
		if err != nil {
			return nil, err
		}
		return img.Lookup(".")
	}
	return nil, fmt.Errorf("neither EROFS nor ext4")
}
