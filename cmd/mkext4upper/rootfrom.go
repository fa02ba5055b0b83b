package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ocipipe/lib/cli"
	erofsdisk "ocipipe/lib/erofs/disk"
	erofsread "ocipipe/lib/erofs/read"
	ext4disk "ocipipe/lib/ext4/disk"
	ext4read "ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

// lookupIn opens an image and returns the function that looks a path up in it. The image
// stays open until the process ends.
func lookupIn(env *cli.Env, path string) (func(string) (*tree.Entry, error), error) {
	f, err := env.OpenFile(path)
	if err != nil {
		return nil, err
	}
	lookup, err := openImage(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func(at string) (*tree.Entry, error) {
		e, err := lookup(at)
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return e, err
	}, nil
}

func openImage(f *os.File) (func(string) (*tree.Entry, error), error) {
	size, err := f.Seek(0, io.SeekEnd) // Stat has no size for a device
	if err != nil {
		return nil, err
	}
	var b [4096]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case erofsdisk.HasMagic(b[:]):
		img, err := erofsread.Open(f, size)
		if err != nil {
			return nil, err
		}
		return img.Lookup, nil
	case ext4disk.HasMagic(b[:]):
		img, err := ext4read.Open(f, size)
		if err != nil {
			return nil, err
		}
		return img.Lookup, nil
	}
	return nil, errors.New("neither EROFS nor ext4")
}
