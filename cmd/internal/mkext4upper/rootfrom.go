package mkext4upper

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ocipipe/lib/cli"
	"ocipipe/lib/lower"
	"ocipipe/lib/magic"
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
	img, err := lower.OpenImage(f, size, nil)
	if err == nil && img == nil {
		err = magic.ExplainFile(errors.New("neither an EROFS image nor an ext4 file system"), f, "an EROFS or ext4 image")
	}
	if err != nil {
		return nil, err
	}
	return img.Lookup, nil
}
