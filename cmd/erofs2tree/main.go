// erofs2tree reads an EROFS image and writes what is in it as a tree stream, in
// canonical order.
//
//	erofs2tree rootfs.erofs | tree2tar > rootfs.tar
package main

import (
	"io"
	"os"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cli"
	"ocipipe/lib/erofs"
	"ocipipe/lib/tree"
)

type tool struct {
	Image string `arg:"" help:"EROFS image; - is standard input. A pipe is copied to a spool file first."`

	NoData cli.Optional `placeholder:"FORM" help:"Leave the contents out: --no-data for gomtree, --no-data=portable for bsdtar and NetBSD mtree."`
	Digest bool         `help:"With --no-data: add the SHA-256 of each file."`

	cli.Output
	cli.Temp
	tree.Limits
}

func main() {
	cli.Main("erofs2tree", "Write the content of an EROFS image as a tree stream.", &tool{})
}

// Run writes the stream.
func (t *tool) Run(env *cli.Env) error {
	opts := tree.WriterOptions{Stage: "erofs2tree", Digest: t.Digest}
	kind := cli.Binary
	if t.NoData.Set {
		var err error
		if opts.Data, err = tree.ParseNoData(t.NoData.Value); err != nil {
			return cli.Usage("%v", err)
		}
		kind = cli.Text
	} else if t.Digest {
		return cli.Usage("--digest needs --no-data")
	}
	out, err := env.Stream(t.Output.Path, kind)
	if err != nil {
		return err
	}
	w := tree.NewWriter(out, opts)
	img, err := t.open(env)
	if err != nil {
		w.Abort(err)
		return err
	}
	if err := tree.Copy(w, tree.Limit(img.Source(), t.Limits)); err != nil {
		return err
	}
	return out.Commit()
}

// open opens the image, which is closed with the process.
func (t *tool) open(env *cli.Env) (*erofs.Image, error) {
	in, err := env.Open(t.Image)
	if err != nil {
		return nil, err
	}
	file, size, err := random(in, env.SpoolDir(t.Output.Path, t.Temp.Dir))
	if err != nil {
		return nil, err
	}
	return erofs.Open(file, size)
}

// random is f, or a copy of it in a spool file where f cannot be read at random.
func random(f *os.File, dir string) (io.ReaderAt, int64, error) {
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		return f, size, nil
	}
	spool, err := blockio.NewSpool(dir) // goes with the process
	if err != nil {
		return nil, 0, err
	}
	size, err := io.CopyBuffer(struct{ io.Writer }{spool}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return spool, size, err
}
