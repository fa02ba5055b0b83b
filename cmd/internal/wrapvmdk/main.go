// Package wrapvmdk is the tool wrap-vmdk.
package wrapvmdk

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/erofsflags"
	"ocipipe/lib/magic"
	"ocipipe/lib/vmdk"
)

type tool struct {
	Extents []string `arg:"" optional:"" name:"extent" help:"Files or block devices, in the order of the disk. For stream, raw and gpt, - is standard input, and so is none."`

	Format   string `enum:"flat,stream,raw,dm-linear,gpt" default:"flat" placeholder:"FORM" group:"Disk" help:"Form: flat, stream, raw, dm-linear, gpt."`
	Split    bool   `group:"Descriptors (--format=flat)" help:"Make no piece larger than 2 GiB."`
	Absolute bool   `group:"Descriptors (--format=flat)" help:"Name the extents by absolute paths."`
	Force    bool   `group:"Disk" help:"Allow what some readers of disks refuse."`
	Size     int64  `type:"size" placeholder:"SIZE" group:"Streams (--format=stream)" help:"Size of standard input, to write it as it comes."`
	Jobs     int    `short:"j" placeholder:"N" group:"Streams (--format=stream)" help:"Workers (default: one per CPU)."`
	Level    int    `default:"6" placeholder:"N" group:"Streams (--format=stream)" help:"Compression, 1 to 9."`

	Check string `placeholder:"DISK" group:"Disk" help:"Say what is wrong with DISK, and write nothing."`

	cli.Output
	cli.Temp
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run writes the disk, or checks one.
func (t *tool) Run(env *cli.Env) error {
	if err := t.usage(); err != nil {
		return err
	}
	if t.Check != "" {
		return vmdk.Check(env.Context, t.Check, env.Warn)
	}
	if t.fromStdin() && t.Size > 0 {
		return t.pipe(env)
	}
	disk, err := t.open(env)
	if err != nil {
		return err
	}
	defer disk.Close()
	if err := disk.Verify(); err != nil && !t.forced(err) {
		return err
	}
	t.report(env, disk.Size())
	if n, ok := disk.Needs(); ok {
		erofsflags.Needs(env, n)
	}
	return t.write(env, disk)
}

// forced reports whether --force allows err.
func (t *tool) forced(err error) bool {
	var f *vmdk.ForceableError
	return t.Force && errors.As(err, &f)
}

// Advise names the flag that allows disks that only some readers refuse.
func (t *tool) Advise(err error) string {
	if f := (*vmdk.ForceableError)(nil); errors.As(err, &f) && !errors.As(err, new(*magic.Error)) {
		return "use --force if what reads the disk takes it"
	}
	return ""
}
