// Package ocimaterialize is the tool oci-materialize.
package ocimaterialize

import (
	"cmp"
	"errors"

	"ocipipe/lib/cas"
	"ocipipe/lib/cli"
	"ocipipe/lib/cli/cacheflags"
	"ocipipe/lib/cli/erofsflags"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/registryflags"
	"ocipipe/lib/layer"
	"ocipipe/lib/materialize"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/pull"
	"ocipipe/lib/tree"
)

type tool struct {
	Ref string `arg:"" help:"Name in a registry, oci:DIR[:TAG|@DIGEST], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]. FILE - is standard input."`

	Target      string          `enum:"layers,fsmeta,vmdk,flat,all" default:"vmdk" placeholder:"WHAT" group:"What is made" help:"layers, fsmeta, vmdk, flat or all."`
	DeviceTable string          `enum:"yes,no" default:"yes" placeholder:"yes|no" group:"What is made" help:"List the layers in the fsmeta image."`
	Upper       *upper          `placeholder:"SIZE=FILE" group:"What is made" help:"An upper disk too, in FILE."`
	Print       string          `enum:",layers,fsmeta,vmdk,flat,upper" default:"" placeholder:"NAME" group:"Output" help:"Only the path of layers, fsmeta, vmdk, flat or upper."`
	As          string          `placeholder:"NAME" group:"Cache" help:"Name in the cache for an image from a file."`
	KeepBlobs   string          `enum:"yes,no" default:"yes" placeholder:"yes|no" group:"Cache" help:"Keep the compressed layers."`
	MaxCache    int64           `name:"max-cache-size" env:"OCIPIPE_MAX_CACHE_SIZE" type:"size" placeholder:"SIZE" group:"Cache" help:"Bound of the cache."`
	Format      string          `enum:"erofs,ext4" default:"erofs" placeholder:"erofs|ext4" group:"Flat image" help:"File system."`
	Size        int64           `type:"size" placeholder:"SIZE" group:"Flat image" help:"Size of ext4 (default: it follows from the content)."`
	FreeSpace   *cli.SizeOrNone `placeholder:"SIZE|none" group:"Flat image" help:"Room for more files in ext4."`
	Label       string          `placeholder:"NAME" group:"Flat image" help:"Volume name."`
	Mtime       *cli.Time       `placeholder:"TIME" group:"Flat image" help:"Time of every file."`
	ClampMtime  *cli.Time       `placeholder:"TIME" group:"Flat image" help:"Latest time of a file; later ones become this."`

	Compression erofsflags.Compression `embed:""`
	VMConfig    imageflags.VMConfig    `embed:""`

	AllowUnterminated bool `group:"Layers" help:"Accept a layer that lacks its last blocks."`
	AllowZeroDevice   bool `group:"Layers" help:"Drop character devices 0:0."`

	imageflags.Choice `group:"Platform"`
	CacheDir          cacheflags.Dir `embed:""`
	CacheUse          cacheflags.Use `embed:""`
	registryflags.Registry
	cli.TextOutput
	cli.Depfile
	cli.Report

	imageflags.Limits
	Tree         cli.Limits `embed:""`
	MaxHoleBytes int64      `default:"4G" type:"size" placeholder:"SIZE" group:"Limits on the input" help:"Maps and padding of sparse files."`
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run makes the artifacts and prints what they are.
func (t *tool) Run(env *cli.Env) error {
	if err := t.check(); err != nil {
		return err
	}
	out, err := env.Stream(t.TextOutput.Path, cli.Text)
	if err != nil {
		return err
	}
	if t.Upper != nil {
		if err := env.Writes(t.Upper.Path); err != nil {
			return err
		}
	}
	opts, err := t.options(env)
	if err != nil {
		return err
	}
	r, err := materialize.Materialize(env.Context, opts)
	if err != nil {
		return err
	}
	if err := t.VMConfig.WriteRun(env, r.Process); err != nil {
		return err
	}
	if _, err := out.Write(t.text(r)); err != nil {
		return err
	}
	env.ReportInstead(r)
	return out.Commit()
}

// Advise implements [cli.Adviser].
func (t *tool) Advise(err error) string {
	if end := (*layer.EndError)(nil); errors.As(err, &end) && end.Unterminated {
		return "--allow-unterminated takes it all the same"
	}
	if errors.Is(err, layer.ErrZeroDevice) {
		return "--allow-zero-device drops it"
	}
	if errors.Is(err, cas.ErrStore) {
		return "--cache DIR keeps it elsewhere"
	}
	return cmp.Or(t.Registry.Advise(err), t.CacheUse.Advise(err), t.Choice.Advise(err), t.Limits.Advise(err), adviseRoom(err))
}

// check returns an error for flags that do not go together.
func (t *tool) check() error {
	if err := cmp.Or(t.Choice.Check(), t.CacheUse.Check(), t.Registry.Check(t.Ref)); err != nil {
		return err
	}
	target := materialize.Target(t.Target)
	flat := target == materialize.Flat || target == materialize.All
	switch {
	case t.Compression.Hints == "-" && (t.PasswordStdin || oci.IsStdin(t.Ref)):
		return cli.Usage("standard input is the image or a password, not --compress-hints")
	case t.As != "" && !oci.IsLocal(t.Ref):
		return cli.Usage("--as is for an image in a file")
	case !flat && (t.Format != "erofs" || t.Size != 0 || t.FreeSpace != nil || t.Label != ""):
		return cli.Usage("--format, --size, --free-space and --label need --target=flat or all")
	case t.Compression.Given() != "" && t.Compression.Compress != "none" && target == materialize.Flat && t.Format == "ext4":
		return cli.Usage("%s compresses EROFS images, and --format=ext4 makes another", t.Compression.Given())
	case t.Print == "upper" && t.Upper == nil,
		t.Print == "flat" && !flat,
		t.Print == "vmdk" && target != materialize.VMDK && target != materialize.All,
		t.Print == "fsmeta" && (target == materialize.Layers || target == materialize.Flat):
		makes := "--target=all"
		if t.Print == "upper" {
			makes = "--upper=SIZE=FILE"
		}
		return cli.Hint(cli.Usage("--print=%s: it is not made", t.Print), makes+" makes it")
	}
	return nil
}

// options returns the options from the flags. For an image in a file it leaves out those
// about registries.
func (t *tool) options(env *cli.Env) (opts materialize.Options, err error) {
	compression, err := t.Compression.Options(env)
	if err != nil {
		return opts, err
	}
	store, err := t.CacheDir.Open(env, t.CacheUse.Options(env))
	if err != nil {
		return opts, err
	}
	opts = materialize.Options{
		Ref: t.Ref, Target: materialize.Target(t.Target), NoDeviceTable: t.DeviceTable == "no", Compression: compression,
		Pull: pull.Options{Cache: store, As: t.As, Jobs: t.Registry.Jobs, Image: oci.Options{TmpDir: env.SpoolDir(store.Dir()+"/tmp/x", ""), OpenFile: env.Open, Reads: env.Reads}},
		Flat: materialize.FlatOptions{
			Format: materialize.Format(t.Format), Label: t.Label, Mtime: (*tree.Time)(t.Mtime), Clamp: (*tree.Time)(t.ClampMtime),
			Epoch: env.Epoch, Size: t.Size, FreeSpace: (*int64)(t.FreeSpace),
		},
		Upper: (*materialize.Upper)(t.Upper), DropBlobs: t.KeepBlobs == "no", Verify: t.CacheUse.Verify, Jobs: t.Registry.Jobs,
		Layer:  layer.Options{AllowUnterminated: t.AllowUnterminated, AllowZeroDevice: t.AllowZeroDevice},
		Limits: t.Tree.Tree(), MaxHoleBytes: cli.OrNone(t.MaxHoleBytes), MaxCacheSize: t.MaxCache,
		Warn: env.Warn, Progress: show(env.Progress()),
	}
	t.CacheUse.Fill(&opts.Pull)
	t.Choice.Fill(&opts.Pull.Image)
	t.Limits.Fill(&opts.Pull.Image)
	if !oci.IsLocal(t.Ref) {
		err = t.Registry.Fill(env, &opts.Pull)
	}
	if err == nil {
		if verr := opts.Validate(); verr != nil {
			err = cli.Usage("%v", verr)
		}
	}
	return opts, err
}
