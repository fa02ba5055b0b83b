package wrapvmdk

import (
	"io"
	"os"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cli"
	"ocipipe/lib/vmdk"
)

// open opens the extents, or standard input. It copies a pipe to a spool file first.
func (t *tool) open(env *cli.Env) (*vmdk.Disk, error) {
	if !t.fromStdin() {
		for _, path := range t.Extents {
			if err := env.Reads(path); err != nil {
				return nil, err
			}
		}
		return vmdk.Open(t.Extents)
	}
	in, err := env.Open("-")
	if err != nil {
		return nil, err
	}
	if f := wholeFile(in); f != nil {
		return vmdk.FromFile("standard input", f)
	}
	env.Expect(t.Path)
	spool, err := blockio.SpoolAll(env.SpoolDir(t.Path, t.Dir), in) // it vanishes with the process
	if err != nil {
		return nil, err
	}
	return vmdk.FromReaderAt("standard input", spool, spool.Size())
}

// wholeFile returns in if it is a regular file at its beginning, else nil.
func wholeFile(in io.Reader) *os.File {
	f, ok := in.(*os.File)
	if !ok {
		return nil
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	if off, err := f.Seek(0, io.SeekCurrent); err != nil || off != 0 {
		return nil
	}
	return f
}

func (t *tool) fromStdin() bool {
	return len(t.Extents) == 0 || len(t.Extents) == 1 && t.Extents[0] == "-"
}

// usage returns an error for flags that do not go together.
func (t *tool) usage() error {
	stdin := t.fromStdin()
	switch {
	case t.Check != "" && (len(t.Extents) > 0 || t.Path != ""):
		return cli.Usage("--check takes no extents and no -o")
	case t.Check != "" && t.Wanted():
		return cli.Usage("--check makes nothing that could be reported")
	case t.Check != "":
		return nil
	case (t.Split || t.Absolute) && t.Format != "flat":
		return cli.Usage("--split and --absolute are for --format=flat")
	case t.Size != 0 && (t.Format != "stream" || !stdin):
		return cli.Usage("--size is for --format=stream from standard input")
	case t.Size%vmdk.SectorSize != 0:
		return cli.Usage("--size: %d is not a multiple of %d", t.Size, vmdk.SectorSize)
	case t.Jobs < 0:
		return cli.Usage("--jobs: %d is not a number of workers", t.Jobs)
	case t.Level < 1 || t.Level > 9:
		return cli.Usage("--level: %d is not between 1 and 9", t.Level)
	case stdin && (t.Format == "flat" || t.Format == "dm-linear"):
		return cli.Hint(cli.Usage("--format=%s names its extents: it needs files", t.Format), "--format=stream, raw and gpt read standard input")
	}
	for _, path := range t.Extents {
		if path == "-" && !stdin {
			return cli.Usage("standard input cannot be one of several extents")
		}
	}
	return nil
}
