package wrapvmdk

import (
	"fmt"
	"os"
	"path/filepath"

	"ocipipe/lib/cli"
	"ocipipe/lib/vmdk"
)

// write writes the disk in the format that was asked for.
func (t *tool) write(env *cli.Env, disk *vmdk.Disk) error {
	switch t.Format {
	case "flat":
		d, err := disk.Descriptor(vmdk.FlatOptions{Dir: t.outputDir(env), Absolute: t.Absolute, Split: t.Split, Force: t.Force})
		if err != nil {
			return err
		}
		text, err := d.Encode()
		if err != nil {
			return err
		}
		return t.text(env, text)
	case "dm-linear":
		text, err := disk.DeviceMapper(env.Warn)
		if err != nil {
			return err
		}
		return t.text(env, text)
	case "stream":
		return t.stream(env, func(out *cli.Stream) error { return disk.WriteStream(env.Context, out, t.streamOptions()) })
	case "gpt":
		var err error
		if disk, err = disk.GPT(); err != nil {
			return err
		}
		env.Result().DiskSize = disk.Size()
	}
	return t.raw(env, disk)
}

func (t *tool) streamOptions() vmdk.StreamOptions {
	return vmdk.StreamOptions{Jobs: t.Jobs, Level: t.Level}
}

func (t *tool) text(env *cli.Env, text []byte) error {
	out, err := env.Stream(t.Path, cli.Text)
	if err != nil {
		return err
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	return out.Commit()
}

func (t *tool) stream(env *cli.Env, write func(*cli.Stream) error) error {
	out, err := env.Stream(t.Path, cli.Binary)
	if err != nil {
		return err
	}
	if err := write(out); err != nil {
		return err
	}
	return out.Commit()
}

// pipe writes standard input as it comes.
func (t *tool) pipe(env *cli.Env) error {
	in, err := env.Open("-")
	if err != nil {
		return err
	}
	t.report(env, t.Size)
	return t.stream(env, func(out *cli.Stream) error {
		if err := vmdk.WriteStreamFrom(env.Context, out, in, t.Size, t.streamOptions()); err != nil {
			return fmt.Errorf("wrap standard input: %w", err)
		}
		return nil
	})
}

// raw writes the disk to a file at random, with its holes, and to anything else in order.
func (t *tool) raw(env *cli.Env, disk *vmdk.Disk) error {
	if !t.toFile(env) {
		return t.stream(env, func(out *cli.Stream) error { return disk.WriteRaw(env.Context, out) })
	}
	out, err := env.Image(t.Path, t.Dir)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(env.Context, out.File); err != nil {
		return err
	}
	return out.Commit()
}

// formats are what a report calls those of --format.
var formats = map[string]string{"flat": "vmdk", "stream": "vmdk-stream", "raw": "raw", "gpt": "gpt", "dm-linear": "dm-linear"}

// report says in the report what the disk is, which has so many bytes.
func (t *tool) report(env *cli.Env, size int64) {
	r := env.Result()
	r.Format, r.DiskSize = formats[t.Format], size
}

// toFile reports whether the output is a regular file, or going to be one.
func (t *tool) toFile(env *cli.Env) bool {
	fi, err := os.Stat(t.Path)
	if t.toStdout() {
		fi, err = env.Stdout.Stat()
	}
	return err != nil || fi.Mode().IsRegular()
}

func (t *tool) toStdout() bool { return t.Path == "" || t.Path == "-" }

// outputDir returns the directory of the output, also of a file that the shell has opened
// as standard output.
func (t *tool) outputDir(env *cli.Env) string {
	if !t.toStdout() {
		return filepath.Dir(t.Path)
	}
	out, err := env.Stdout.Stat()
	if err != nil || !out.Mode().IsRegular() {
		return "."
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", env.Stdout.Fd()))
	if err != nil {
		return "."
	}
	if fi, err := os.Stat(name); err != nil || !os.SameFile(fi, out) {
		return "." // renamed or removed
	}
	return filepath.Dir(name)
}
