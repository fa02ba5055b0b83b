// wrap-vmdk presents images, one behind the other, as one virtual disk: by a VMDK
// descriptor that names them, or by a disk that contains them.
//
//	wrap-vmdk -o disk.vmdk fsmeta.erofs 000.erofs 001.erofs
package main

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/vmdk"
)

type tool struct {
	Extents []string `arg:"" optional:"" name:"extent" help:"Files or block devices, in the order of the disk. - is standard input, alone, and the default, for --format=stream, raw and gpt."`

	Format   string `enum:"flat,stream,raw,dm-linear,gpt" default:"flat" help:"flat: descriptor that names the extents. stream: stream-optimized VMDK. raw: their concatenation. gpt: the same as a partition. dm-linear: table for dmsetup, of block devices."`
	Split    bool   `help:"flat: no piece beyond 2 GiB, for readers that insist."`
	Absolute bool   `help:"flat: absolute names. Without it they are relative to the directory of the output, or for a pipe to the working directory."`
	Force    bool   `help:"Also what some readers refuse, as names of other characters than A-Z a-z 0-9 . _ - /, and extents that do not fit together."`
	Size     int64  `type:"size" placeholder:"SIZE" help:"stream: the size of standard input, which is then written as it comes."`
	Jobs     int    `short:"j" placeholder:"N" help:"stream: workers, in place of one a processor."`
	Level    int    `default:"6" placeholder:"N" help:"stream: compression, 1 to 9."`

	Check string `placeholder:"DISK" help:"Read a descriptor and its extents, or another disk of these formats, and say what is wrong."`

	cli.Output
	cli.Temp
}

func main() {
	cli.Main(manual, &tool{})
}

// Run writes the disk, or checks one.
func (t *tool) Run(env *cli.Env) error {
	if err := t.usage(); err != nil {
		return err
	}
	if t.Check != "" {
		return vmdk.Check(t.Check, env.Warn)
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
		return t.hint(err)
	}
	return t.hint(t.write(env, disk))
}

// forced reports whether --force makes err no error.
func (t *tool) forced(err error) bool {
	var f *vmdk.ForceableError
	return t.Force && errors.As(err, &f)
}

func (t *tool) hint(err error) error {
	var f *vmdk.ForceableError
	if errors.As(err, &f) {
		return cli.Hint(err, "use --force if what reads the disk takes it")
	}
	return err
}
