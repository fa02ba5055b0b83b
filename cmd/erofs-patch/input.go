package main

import (
	"io"

	"ocipipe/lib/cli"
	"ocipipe/lib/lower"
	"ocipipe/lib/patch"
)

const stdin = "standard input"

// input is a --lower with the devices that were given for it.
type input struct {
	path    string
	devices []string
}

// inputs are the lowers in their order. A device is for the lower before it, or for the
// only one.
func (t *tool) inputs() (list []input, err error) {
	var first []string // devices that come before any lower
	named := t.Patches
	for _, o := range cli.InOrder(t.Lower, t.Device) {
		named = append(named, o.Value)
		switch last := len(list) - 1; {
		case o.Flag == "lower":
			list = append(list, input{path: o.Value})
		case last < 0:
			first = append(first, o.Value)
		default:
			list[last].devices = append(list[last].devices, o.Value)
		}
	}
	if len(first) > 0 && len(list) > 1 {
		return nil, cli.Usage("--device %s: comes before the --lower that it is for", first[0])
	}
	list[0].devices = append(first, list[0].devices...)
	used := false
	for _, path := range named {
		switch {
		case path == "":
			return nil, cli.Usage("the name of an input is empty")
		case path == "-" && used:
			return nil, cli.Usage("standard input is named twice")
		}
		used = used || path == "-"
	}
	return list, nil
}

// merge opens the lowers and merges them.
func (t *tool) merge(env *cli.Env, inputs []input) (*lower.Lower, error) {
	var opened []lower.Input
	for _, in := range inputs {
		r, err := env.Open(in.path)
		if err != nil {
			return nil, err
		}
		of := lower.Input{Name: in.path, R: r}
		if in.path == "-" {
			of.Name, of.Stream = stdin, true
		}
		for _, path := range in.devices {
			f, err := env.OpenFile(path)
			if err != nil {
				return nil, err
			}
			of.Devices = append(of.Devices, f)
		}
		opened = append(opened, of)
	}
	return lower.Merge(env.Context, opened, lower.Options{
		Limits: t.Limits.Tree(), SpoolDir: env.SpoolDir(t.Output.Path, t.Temp.Dir), Warn: env.Warn,
	})
}

// fromFiles are the operations of the files, one file after the other.
func (t *tool) fromFiles(env *cli.Env) (ops []patch.Op, err error) {
	for _, path := range t.Patches {
		open := env.Open
		if path == "-" {
			path = stdin
			open = func(name string) (io.ReadCloser, error) {
				if name == stdin {
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
