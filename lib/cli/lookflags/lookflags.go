// Package lookflags has the flags by which tools show people what is in an image, in place of
// the tree stream that they write for other tools.
package lookflags

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"ocipipe/lib/cli"
	"ocipipe/lib/tree"
	"ocipipe/lib/tree/list"
)

// Flags say what is shown.
type Flags struct {
	List  cli.Optional `placeholder:"DIR" xor:"look" group:"Look inside" help:"List files in the manner of ls; --list=DIR below DIR."`
	Depth *int         `placeholder:"N" group:"Look inside" help:"With --list: N levels of directories, with totals."`
	Sizes bool         `xor:"look" group:"Look inside" help:"Say what takes the space, by layer and directory."`
	Bytes bool         `group:"Look inside" help:"With --depth or --sizes: do not round sizes."`
	Cat   string       `placeholder:"PATH" xor:"look" group:"Look inside" help:"Write the content of one file."`
}

// About says more about the flags, for man pages.
var About = cli.Manual{
	Flags: map[string]string{
		"list":  "A line has the type and permissions, + if there are extended attributes, and then the number of names, owner, group, size, time in UTC, and path. In a path \\ooo stands for a byte that is not printable, and for a backslash. The size of a symbolic link is that of its target, and of a device its number. Files are in the order of the tree stream. With --digest their SHA-256 comes before the path. DIR may be a file, too; symbolic links are not followed.",
		"depth": "A line has the size of all files in a directory and below, the number of names there, and the path; between them what the files take where they are stored, if the format tells that. A file with several names counts once, where its first one is.",
		"sizes": "A line for each layer says what its image or its compressed archive takes (- if it comes through a pipe), the sizes of its files, what they take where they are stored, if the format tells that, and how much of this the layers above hide. Another table has a line for each directory and each file of at least a twentieth of the whole, without what is in other lines. Data that several files share counts once, and so does an image that is several layers.",
		"cat":   "Symbolic links are followed inside the image. On a terminal, content with control characters is refused.",
	},
}

// Given reports whether anything is to be shown.
func (f *Flags) Given() bool { return f.List.Set || f.Sizes || f.Cat != "" }

// Check returns an error of cli.Usage for flags that do not go together.
func (f *Flags) Check(form *cli.TreeForm) error {
	switch {
	case f.Depth != nil && !f.List.Set:
		return cli.Usage("--depth needs --list")
	case f.Depth != nil && *f.Depth < 0:
		return cli.Usage("--depth: %d is less than 0", *f.Depth)
	case f.Bytes && f.Depth == nil && !f.Sizes:
		return cli.Usage("--bytes needs --depth or --sizes")
	case !f.Given():
		return nil
	case form.NoData.Set:
		return cli.Usage("--no-data is for a tree stream: leave it out")
	case form.Digest && (!f.List.Set || f.Depth != nil):
		return cli.Usage("--digest needs --no-data, or --list without --depth")
	}
	return nil
}

// Advise returns a hint for err, or "". In --list DIR IMAGE, the directory of the image is the
// first of inputs, and fails as a directory or as a file that does not exist.
func (f *Flags) Advise(err error, inputs []string) string {
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Path == inputs[0] && (errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrNotExist)) {
		return f.AdviseFirst(inputs)
	}
	return ""
}

// AdviseFirst returns the hint for the first of inputs, which is no image, or "".
func (f *Flags) AdviseFirst(inputs []string) string {
	if f.List.Set && f.List.Value == "" && len(inputs) > 1 {
		return "the flag for a directory in the image is --list=DIR, with ="
	}
	return ""
}

// Input is what is looked into. Its functions open it; one of them is called, once.
type Input struct {
	Name   string // for messages; "" if its errors have names
	Limits tree.Limits

	// Source also says what its contents take; nil if that is not known.
	Source func() (tree.Source, list.Stored, error)
	Lookup func() (func(path string) (*tree.Entry, error), error)
	Sizes  func() (*list.Sizes, error)
}

// LookupIn reads src into memory, and returns what looks up its entries. Contents must stay
// valid. The caller closes src when they are no longer used.
func LookupIn(src tree.Source, err error) (func(path string) (*tree.Entry, error), error) {
	if err != nil {
		return nil, err
	}
	t, err := tree.ReadLayer(src, nil)
	if err != nil {
		return nil, err
	}
	return list.InTree(t), nil
}

// Show writes what the flags ask for to the output of the tool.
func (f *Flags) Show(env *cli.Env, output string, form *cli.TreeForm, in Input) error {
	out, err := env.Stream(output, cli.Text)
	if err != nil {
		return err
	}
	switch {
	case f.Cat != "":
		err = f.cat(out, in)
	case f.Sizes:
		err = f.sizes(out, in)
	default:
		err = f.list(env.Context, out, form, in)
	}
	if err != nil {
		return cli.About(in.Name, err)
	}
	if env.Result().Format = "list"; f.Cat != "" {
		env.Result().Format = "file"
	}
	return out.Commit()
}

func (f *Flags) list(ctx context.Context, w io.Writer, form *cli.TreeForm, in Input) error {
	src, stored, err := in.Source()
	if err != nil {
		return err
	}
	defer src.Close()
	if f.Depth != nil {
		return list.Totals(ctx, w, src, list.TotalOptions{Dir: f.List.Value, Depth: *f.Depth, Bytes: f.Bytes, Stored: stored})
	}
	opts := list.LineOptions{Dir: f.List.Value}
	if form.Digest {
		opts.Digester = &tree.Digester{MaxHoles: cli.OrNone(form.MaxHoles)}
	}
	return list.Lines(ctx, w, src, opts)
}

func (f *Flags) sizes(w io.Writer, in Input) error {
	report, err := in.Sizes()
	if err != nil {
		return err
	}
	return report.Write(w, f.Bytes)
}

func (f *Flags) cat(out *cli.Stream, in Input) error {
	lookup, err := in.Lookup()
	if err != nil {
		return err
	}
	e, err := list.Find(lookup, f.Cat)
	if none := (*list.NoContentError)(nil); errors.As(err, &none) && none.Type == tree.Dir {
		err = cli.Hint(err, "--list=DIR shows what is in a directory")
	}
	if err == nil {
		err = tree.NewMeter(in.Limits).Add("", e)
	}
	if err != nil {
		return err
	}
	var w io.Writer = out
	if out.IsTerminal() {
		w = &terminal{w: out}
	}
	if err := tree.WriteExpanded(w, e); err != nil {
		return fmt.Errorf("%s: %w", list.Path(e.Path), err)
	}
	return nil
}

// terminal is a writer that passes on text alone, without what a terminal would obey.
type terminal struct {
	w    io.Writer
	last byte
}

func (t *terminal) Write(p []byte) (int, error) {
	for _, c := range p {
		isControl := c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == 0x7f || t.last == 0xc2 && c >= 0x80 && c < 0xa0 // U+0080 to U+009F
		if t.last = c; isControl {
			return 0, cli.Hint(cli.Usage("standard output is a terminal, and the content is not text"), "use -o FILE, or connect a pipe")
		}
	}
	return t.w.Write(p)
}
