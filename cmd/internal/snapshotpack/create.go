package snapshotpack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/oci/names"
	"ocipipe/lib/snapshot"
	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/imagefiles"
	"ocipipe/lib/snapshot/strictjson"
)

type create struct {
	Upper string `placeholder:"DISK" group:"What is captured" help:"The disk: a raw image or a block device."`
	Image string `placeholder:"REF@DIGEST" group:"What is captured" help:"The image below it, pinned by the digest of its manifest."`
	Pin   string `placeholder:"JSON" group:"What is captured" help:"The image below it, as oci-materialize prints it; - is standard input."`
	From  string `placeholder:"DIR" group:"What is captured" help:"A snapshot in a directory, instead of a disk."`

	FSType     string `name:"fs-type" default:"ext4" placeholder:"NAME" group:"What is captured" help:"File system of the disk; only ext4 is checked."`
	AllowDirty bool   `group:"What is captured" help:"Allow a disk that is in use or was not unmounted."`

	CreatedAt string            `placeholder:"TIME" group:"Description" help:"Time, in RFC 3339 (default: SOURCE_DATE_EPOCH, else the last write to the file system)."`
	Parent    string            `placeholder:"DIR|ID" group:"Description" help:"The snapshot that the disk was made from."`
	Source    string            `placeholder:"NAME" group:"Description" help:"The sandbox that the disk belongs to."`
	Label     map[string]string `mapsep:"none" placeholder:"KEY=VALUE" group:"Description" help:"A label; may be repeated."`
	Extension map[string]string `mapsep:"none" placeholder:"KEY=JSON" group:"Description" help:"An extension of the descriptor; may be repeated."`

	Form        string `enum:",0.6,0.7" default:"" placeholder:"0.6|0.7" group:"Output" help:"Version of microsandbox whose form is written (default: 0.6, or that of --from)."`
	Dir         string `placeholder:"DIR" group:"Output" help:"Write a directory, not an archive."`
	Reflink     bool   `group:"Output" help:"Let the copy in DIR share the blocks of the disk, or fail."`
	Plain       bool   `group:"Output" help:"Write a tar that is not compressed."`
	Level       int    `default:"3" placeholder:"N" group:"Output" help:"Compression, 1 to 22."`
	Jobs        int    `short:"j" placeholder:"N" group:"Output" help:"Workers (default: one per CPU)."`
	Name        string `placeholder:"NAME" group:"Output" help:"Name that the archive suggests."`
	WithParents bool   `group:"Output" help:"Put the chain of parents into the archive too."`
	WithImage   string `placeholder:"CACHE" group:"Output" help:"Put the image, made by oci-materialize, into the archive too."`

	cli.Output
}

func (c *create) run(env *cli.Env) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.From != "" {
		return c.pack(env)
	}
	opts, parents, err := c.options(env)
	defer closeAll(parents)
	if err != nil {
		return err
	}
	if err := env.Reads(c.Upper); err != nil {
		return err
	}
	if err := reads(env, parents); err != nil {
		return err
	}
	making, err := snapshot.Create(opts)
	if err != nil {
		return err
	}
	defer making.Close()
	if c.Dir != "" {
		return c.directory(env, making, opts.Image)
	}
	return c.archive(env, opts.Image, opts.Form, parents, func(w io.Writer, o snapshot.ArchiveOptions) (string, error) {
		return making.WriteArchive(env.Context, w, o)
	})
}

// directory writes the snapshot, which stands on the image, as a directory.
func (c *create) directory(env *cli.Env, making *snapshot.Creation, image form06.Image) error {
	env.MadeElsewhere(c.Dir)
	return env.Guard(c.Dir, func(ctx context.Context) error {
		id, err := making.WriteDirectory(ctx, c.Dir, c.Reflink)
		describe(env, id, c.Form, image)
		return err
	})
}

// describe says in the report what was made.
func describe(env *cli.Env, id, version string, image form06.Image) {
	env.Result().Format = "snapshot"
	env.Result().Snapshot = &report.Snapshot{ID: id, Form: cmp.Or(version, form06.Form), Image: report.Image{Reference: image.Ref, Manifest: image.Manifest}}
}

// check returns an error for flags that do not go together.
func (c *create) check() error {
	switch {
	case c.From != "" && (c.Upper != "" || c.Image != "" || c.Pin != "" || c.Dir != "" || c.AllowDirty || c.CreatedAt != "" || c.Parent != "" || c.Source != "" || len(c.Label)+len(c.Extension) > 0):
		return cli.Usage("--from takes a snapshot as it is: only flags of the archive go with it")
	case c.From == "" && c.Upper == "":
		return cli.Usage("--upper is missing: the disk that is captured")
	case c.From == "" && c.Image == "" && c.Pin == "":
		return cli.Usage("--image or --pin is missing: the image below the disk")
	case c.Dir != "" && (c.Plain || c.Level != archive.DefaultLevel || c.Jobs != 0 || c.Name != "" || c.WithParents || c.WithImage != "" || c.Output.Path != ""):
		return cli.Usage("--dir writes no archive: --plain, --level, --jobs, --name, --with-parents, --with-image and --output do not go with it")
	case c.Reflink && c.Dir == "":
		return cli.Usage("--reflink goes with --dir")
	case c.Level < 1 || c.Level > 22:
		return cli.Usage("--level is 1 to 22")
	case c.Jobs < 0:
		return cli.Usage("--jobs is not negative")
	case c.Name != "" && snapshot.CheckSuggestedName(c.Name) != nil:
		return cli.Usage("--name: %v", snapshot.CheckSuggestedName(c.Name))
	case c.WithParents && c.Parent == "" && c.From == "":
		return cli.Usage("--with-parents goes with --parent DIR or --from")
	}
	return nil
}

// archive writes an archive to the output, of a snapshot that stands on the image.
func (c *create) archive(env *cli.Env, image form06.Image, version string, parents []*snapshot.Directory, write func(io.Writer, snapshot.ArchiveOptions) (id string, err error)) error {
	o := snapshot.ArchiveOptions{
		WriterOptions: archive.WriterOptions{Plain: c.Plain, Level: c.Level, Jobs: c.Jobs},
		Form:          c.Form, Name: c.Name, Parents: parents,
	}
	if c.WithImage != "" {
		files, err := snapshot.OpenImage(env.Context, c.WithImage, image)
		if err != nil {
			return err
		}
		defer files.Close()
		o.Image = files
	}
	out, err := env.Stream(c.Output.Path, cli.Binary)
	if err != nil {
		return err
	}
	id, err := write(out, o)
	if err != nil {
		return err
	}
	describe(env, id, version, image)
	return out.Commit()
}

// pack writes the archive of a snapshot in a directory.
func (c *create) pack(env *cli.Env) error {
	dir, err := snapshot.OpenDirectory(c.From)
	if err != nil {
		return err
	}
	defer dir.Close()
	var parents []*snapshot.Directory
	if c.WithParents {
		parents, err = snapshot.FindParents(filepath.Dir(dir.Path), dir.Parent)
		defer closeAll(parents)
		if err != nil {
			return err
		}
	}
	if err := reads(env, append(parents, dir)); err != nil {
		return err
	}
	image := form06.Image{Ref: dir.Reference, Manifest: dir.Manifest}
	return c.archive(env, image, cmp.Or(c.Form, dir.Form), parents, func(w io.Writer, o snapshot.ArchiveOptions) (string, error) {
		return snapshot.PackDirectory(env.Context, w, dir, o)
	})
}

// options returns what the flags say of the snapshot. parents is the chain for the archive.
func (c *create) options(env *cli.Env) (o snapshot.CreateOptions, parents []*snapshot.Directory, err error) {
	o = snapshot.CreateOptions{
		Upper: c.Upper, Form: c.Form, FSType: c.FSType, CreatedAt: c.CreatedAt, Source: c.Source, Labels: c.Label, AllowDirty: c.AllowDirty,
		Extensions: map[string]*strictjson.Value{}, Warn: env.Warn,
	}
	if o.CreatedAt == "" && env.Epoch != nil {
		o.CreatedAt = form06.FormatTime(time.Unix(*env.Epoch, 0))
	}
	if o.CreatedAt != "" {
		if _, err := form06.Time(o.CreatedAt); err != nil {
			return o, nil, cli.Usage("--created-at: %s", strings.TrimPrefix(err.Error(), "created_at: "))
		}
	}
	for key, text := range c.Extension {
		if o.Extensions[key], err = strictjson.Parse([]byte(text)); err != nil {
			return o, nil, cli.Usage("--extension %s: %v", key, err)
		}
	}
	if err := c.pin(env, &o); err != nil {
		return o, nil, err
	}
	parents, err = c.parents(env, &o)
	return o, parents, err
}

// pin puts the image into o.
func (c *create) pin(env *cli.Env, o *snapshot.CreateOptions) (err error) {
	if c.Image != "" {
		if o.Image, err = parseImage(c.Image); err != nil {
			return err
		}
	}
	if c.Pin == "" {
		return nil
	}
	if o.Pin, err = readPin(env, c.Pin); err != nil {
		return err
	}
	switch {
	case c.Image != "" && o.Image.Manifest != o.Pin.Manifest:
		return cli.Usage("--image has the digest %s, and --pin %s", o.Image.Manifest, o.Pin.Manifest)
	case c.Image == "" && o.Pin.Reference == "":
		return cli.Usage("%s: has no reference: name one with --image", c.Pin)
	case c.Image == "":
		o.Image = form06.Image{Ref: o.Pin.Reference, Manifest: o.Pin.Manifest}
	}
	return nil
}

// parseImage splits NAME[:TAG]@DIGEST. A name without a tag keeps its digest, because a
// bare name would stand for the tag latest.
func parseImage(s string) (form06.Image, error) {
	at := strings.LastIndexByte(s, '@')
	d := digest.Digest(s[at+1:])
	if at <= 0 || !form.IsSHA256(d) {
		return form06.Image{}, cli.Hint(cli.Usage("--image %s: has no digest to pin it: want NAME@sha256:...", names.WithoutPassword(s)), "a tag may move; oci-fetch --manifest NAME | sha256sum says what it names now")
	}
	if _, err := names.Tagged(s[:at]); err != nil {
		return form06.Image{}, cli.Usage("--image: %v@DIGEST", err)
	}
	name := imagefiles.Normalize(s[:at])
	if !strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		name += s[at:]
	}
	return form06.Image{Ref: name, Manifest: d}, nil
}

func readPin(env *cli.Env, path string) (*snapshot.Pin, error) {
	in, err := env.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	const limit = 16 << 20
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && len(data) > limit {
		err = fmt.Errorf("longer than %d bytes", limit)
	}
	var pin *snapshot.Pin
	if err == nil {
		pin, err = snapshot.ParsePin(data)
	}
	return pin, cli.About(path, err)
}

// parents puts the parent into o. It returns the chain if the archive gets it.
func (c *create) parents(env *cli.Env, o *snapshot.CreateOptions) (chain []*snapshot.Directory, err error) {
	d := digest.Digest(c.Parent)
	if c.Parent == "" {
		return nil, nil
	}
	if form.IsSHA256(d) || form07.IsID(c.Parent) {
		if c.WithParents {
			return nil, cli.Usage("--with-parents wants the directory of the parent, not its identity")
		}
		o.Parent = c.Parent
		return nil, nil
	}
	dir, err := snapshot.OpenDirectory(c.Parent)
	if errors.Is(err, os.ErrNotExist) {
		return nil, cli.Usage("--parent %s: neither a directory nor an identity sha256:... or snap_...", c.Parent)
	}
	if err != nil {
		return nil, err
	}
	o.Parent = dir.ID
	if !c.WithParents {
		return nil, cmp.Or(reads(env, []*snapshot.Directory{dir}), dir.Close())
	}
	chain, err = snapshot.FindParents(filepath.Dir(dir.Path), dir.Parent)
	return append(chain, dir), err
}

// reads registers the files of the snapshots as inputs.
func reads(env *cli.Env, dirs []*snapshot.Directory) error {
	for _, d := range dirs {
		for _, path := range d.Paths() {
			if err := env.Reads(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func closeAll(dirs []*snapshot.Directory) {
	for _, d := range dirs {
		d.Close()
	}
}
