package erofspatch

import (
	"io"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/lowerflags"
	"ocipipe/lib/patch"
)

// fromFiles are the operations of the files, one file after the other.
func (t *tool) fromFiles(env *cli.Env) (ops []patch.Op, err error) {
	for _, path := range t.Patches {
		open := env.Open
		if path == "-" {
			path = lowerflags.Stdin
			open = func(name string) (io.ReadCloser, error) {
				if name == lowerflags.Stdin {
					name = "-"
				}
				return env.Open(name)
			}
		}
		list, err := patch.Load(path, open)
		if err != nil {
			return nil, err
		}
		ops = append(ops, list...)
	}
	return ops, nil
}
