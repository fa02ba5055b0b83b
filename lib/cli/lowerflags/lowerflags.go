// Package lowerflags reads the flags --lower and --device, by which several tools name the
// images below a change.
package lowerflags

import (
	"ocipipe/lib/cli"
	"ocipipe/lib/lower"
)

// Stdin is the name of standard input in messages.
const Stdin = "standard input"

// Input is a --lower with the devices that were given for it.
type Input struct {
	Path    string // "-" is a tree stream on standard input
	Devices []string
}

// Inputs are the images in their order. A device is for the image before it, or for the only
// one. others are the paths of the tool's other inputs, of which one may be standard input. Its
// error is one of cli.Usage.
func Inputs(lowers, devices cli.Ordered, others ...string) (list []Input, err error) {
	var first []string // devices that come before any image
	named := others
	for _, o := range cli.InOrder(lowers, devices) {
		named = append(named, o.Value)
		switch last := len(list) - 1; {
		case o.Flag == "lower":
			list = append(list, Input{Path: o.Value})
		case last < 0:
			first = append(first, o.Value)
		default:
			list[last].Devices = append(list[last].Devices, o.Value)
		}
	}
	switch {
	case len(first) > 0 && len(list) > 1:
		return nil, cli.Usage("--device %s: comes before the --lower that it is for", first[0])
	case len(first) > 0 && len(list) == 0:
		return nil, cli.Usage("--device %s: is for a --lower", first[0])
	case len(list) > 0:
		list[0].Devices = append(first, list[0].Devices...)
	}
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

// Merge opens the images and merges them. They stay open until the process ends.
func Merge(env *cli.Env, inputs []Input, opts lower.Options) (*lower.Lower, error) {
	var opened []lower.Input
	for _, in := range inputs {
		r, err := env.Open(in.Path)
		if err != nil {
			return nil, err
		}
		of := lower.Input{Name: in.Path, R: r}
		if in.Path == "-" {
			of.Name, of.Stream = Stdin, true
		}
		for _, path := range in.Devices {
			f, err := env.OpenFile(path)
			if err != nil {
				return nil, err
			}
			of.Devices = append(of.Devices, f)
		}
		opened = append(opened, of)
	}
	opts.Warn = env.Warn
	return lower.Merge(env.Context, opened, opts)
}
