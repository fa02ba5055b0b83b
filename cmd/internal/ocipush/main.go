// Package ocipush is the tool oci-push.
package ocipush

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"ocipipe/lib/cli"
	"ocipipe/lib/cli/imageflags"
	"ocipipe/lib/cli/registryflags"
	"ocipipe/lib/cli/report"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/push"
	"ocipipe/lib/oci/registry"
	"ocipipe/lib/platform"
)

type tool struct {
	Ref   string `arg:"" help:"Where to: [REGISTRY/]NAME[:TAG]."`
	Input string `arg:"" optional:"" default:"-" help:"OCI archive, archive of docker save or OCI layout: FILE, DIR, oci:DIR[:TAG|@DIGEST], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]."`

	Tag          []string `sep:"none" placeholder:"TAG" group:"Upload" help:"Another tag for the image; repeat it for more."`
	Platform     string   `placeholder:"OS/ARCH" group:"Upload" help:"Push one image of an index alone."`
	MountFrom    []string `sep:"none" placeholder:"NAME" group:"Upload" help:"Take layers over from this repository of the registry; repeat it for more."`
	Jobs         int      `short:"j" default:"4" placeholder:"N" group:"Upload" help:"Layers to upload at a time."`
	ChunkSize    int64    `type:"size" default:"64M" placeholder:"SIZE" group:"Upload" help:"Bytes of a layer in one request, at most."`
	AllowForeign bool     `group:"Upload" help:"Upload layers that are not distributed with images, too."`

	registryflags.Access
	cli.TextOutput
	cli.Depfile
	cli.Report
	cli.Temp
	imageflags.Limits
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Advise implements [cli.Adviser].
func (t *tool) Advise(err error) string {
	var (
		absent  *push.AbsentError
		several *oci.SeveralError
		kept    *registry.TagError
		foreign *oci.ForeignError
		refused *registry.Error
	)
	switch {
	case t.isSwapped():
		return fmt.Sprintf("the name comes before the image: oci-push %s %s", t.Input, t.Ref)
	case errors.As(err, &absent), errors.As(err, &several):
		return "--platform pushes one image alone"
	case errors.As(err, &kept):
		return "the registry does not let it be changed; push under another tag"
	case errors.As(err, &foreign) && t.AllowForeign:
		return "without --allow-foreign it stays where it is"
	case errors.As(err, &refused) && refused.Status == http.StatusRequestEntityTooLarge:
		return "the registry, or a proxy before it, limits the size of a request"
	}
	return cmp.Or(t.Access.Advise(err), t.Limits.Advise(err))
}

// isSwapped reports whether the arguments make sense only the other way round.
func (t *tool) isSwapped() bool {
	isName := strings.Contains(t.Input, "/") && oci.AtPath(t.Input) == "" && push.Check(t.Input, nil, nil) == nil
	return isName && (t.Ref == "-" || oci.IsLocal(t.Ref) || oci.AtPath(t.Ref) != "")
}

// Run pushes the image and prints its digest.
func (t *tool) Run(env *cli.Env) error {
	if err := t.check(); err != nil {
		return err
	}
	env.MadeElsewhere("") // the output is a line about it
	out, err := env.Stream(t.TextOutput.Path, cli.Text)
	if err != nil {
		return err
	}
	var blobs report.Blobs
	opts := push.Options{Tags: t.Tag, MountFrom: t.MountFrom, Jobs: t.Jobs, ChunkSize: t.ChunkSize, AllowForeign: t.AllowForeign, Progress: count(&blobs, showBlobs(env.Progress()))}
	if opts.Registry, err = t.Access.Options(env); err != nil {
		return err
	}
	from := oci.Options{Platform: t.Platform, TmpDir: env.SpoolDir("", t.Temp.Dir), OpenFile: env.Open, Reads: env.Reads, Warn: env.Warn}
	t.Limits.Fill(&from)
	b, err := oci.OpenBundle(env.Context, inputRef(t.Input), from)
	if err != nil && t.Input == "-" && oci.AtPath(t.Ref) != "" {
		return cli.Hint(err, "the name comes before the image: oci-push NAME "+t.Ref)
	}
	if err != nil {
		return err
	}
	defer b.Close()
	done, err := push.Push(env.Context, b, t.Ref, opts)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, done); err != nil {
		return err
	}
	r := env.Result()
	r.Format, r.MediaType, r.Digest = "registry", b.Root.MediaType, done.Digest
	r.Reference, r.Tags, r.Blobs = done.String(), done.Tags, &blobs
	return out.Commit()
}

// inputRef returns the reference of an input, which may be a path.
func inputRef(s string) string {
	if oci.IsLocal(s) {
		return s
	}
	return cmp.Or(oci.AtPath(s), "oci-archive:"+s)
}

// check returns an error for flags that are out of range or do not go together.
func (t *tool) check() error {
	if err := push.Check(t.Ref, t.Tag, t.MountFrom); err != nil {
		return cli.Usage("%v", err)
	}
	if _, err := platform.Parse(t.Platform); err != nil {
		return cli.Usage("%v", err)
	}
	switch {
	case t.Jobs < 1:
		return cli.Usage("-j: at least 1")
	case t.ChunkSize < 1:
		return cli.Usage("--chunk-size: at least 1")
	case t.PasswordStdin && oci.IsStdin(inputRef(t.Input)):
		return cli.Usage("--password-stdin: the image is standard input already")
	}
	return t.Access.Check()
}
