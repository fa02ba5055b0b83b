package ext42tree

import (
	"fmt"
	"io"
	"os"
	"strings"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lowerflags"
	"ocipipe/lib/exclusive"
	"ocipipe/lib/lower"
	"ocipipe/lib/overlay"
)

// disk opens a disk that can be read at random, and returns its size. What is neither a file nor
// a device is copied to a spool file in dir. The disk stays open, and locked against writers,
// until the process ends.
func disk(env *cli.Env, path, dir string) (io.ReaderAt, int64, error) {
	in, err := env.Open(path)
	if err != nil {
		return nil, 0, err
	}
	f, ok := in.(*os.File)
	if !ok {
		spool, err := blockio.SpoolAll(dir, in) // it vanishes with the process
		if err != nil {
			return nil, 0, err
		}
		return spool, spool.Size(), nil
	}
	name := path
	if path == "-" {
		name = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	}
	locked, _, err := exclusive.Open(name, exclusive.Read)
	if err != nil {
		if path == "-" {
			err = &stdinError{name, err}
		}
		return nil, 0, err
	}
	size, err := locked.Seek(0, io.SeekEnd) // Stat has no size for a device
	return locked, size, err
}

// stdinError is an error about the file name, which is standard input.
type stdinError struct {
	name string
	err  error
}

func (e *stdinError) Error() string {
	return strings.ReplaceAll(e.err.Error(), e.name, lowerflags.Stdin)
}

func (e *stdinError) Unwrap() error { return e.err }

// below merges the images below the overlay; nil if none are given.
func (t *tool) below(env *cli.Env, lowers []lowerflags.Input) (*overlay.Below, error) {
	if len(lowers) == 0 {
		return nil, nil
	}
	names := &overlay.Names{UserXattr: t.UserXattr}
	l, err := lowerflags.Merge(env, lowers, lower.Options{
		Limits: t.Limits.Tree(), SpoolDir: env.SpoolDir(t.Output.Path, t.Temp.Dir), Visit: names.Visit,
	})
	if err != nil {
		return nil, err
	}
	return &overlay.Below{Tree: l.Tree, UUIDs: l.UUIDs, Names: names}, nil
}

// bases are the UUIDs of the images below, from bottom to top, or "" if one has none.
func bases(below *overlay.Below) string {
	if below == nil {
		return ""
	}
	var list []string
	for _, u := range below.UUIDs {
		if u == nil {
			return ""
		}
		list = append(list, fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]))
	}
	return strings.Join(list, ",")
}
