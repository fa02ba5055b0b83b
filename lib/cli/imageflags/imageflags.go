// Package imageflags is the flags about the image that a tool reads, each group a struct
// to be embedded in a tool, and what those flags do against the errors of package oci.
package imageflags

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/oci"
	"ocipipe/lib/platform"
)

// Choice is the flags that choose an image among several.
type Choice struct {
	Platform           string `placeholder:"OS/ARCH" help:"Platform to choose from an index, and to require."`
	AllowOtherPlatform bool   `help:"Take the only image though its platform differs."`
}

// Check finds what kong cannot.
func (c *Choice) Check() error {
	if _, err := platform.Parse(c.Platform); err != nil {
		return cli.Usage("%v", err)
	}
	return nil
}

// Fill sets what the flags say.
func (c *Choice) Fill(opts *oci.Options) {
	opts.Platform, opts.AllowOtherPlatform = c.Platform, c.AllowOtherPlatform
}

// Advise returns a hint for err, or "".
func (c *Choice) Advise(err error) string {
	var none *oci.PlatformError
	switch {
	case !errors.As(err, &none) || !none.Sole:
		return ""
	case none.Asked:
		return "--allow-other-platform takes it all the same"
	}
	return "--platform " + none.Available[0] + " takes it"
}

// Limits is the flags that limit what an image may make a tool read; 0 is no limit.
type Limits struct {
	MaxMetadata int64 `type:"size" default:"16M" placeholder:"SIZE" group:"Limits on the input" help:"Size of an index, manifest or config."`
	MaxLayer    int64 `type:"size" default:"64G" placeholder:"SIZE" group:"Limits on the input" help:"Unpacked layer of docker save."`
}

// Fill sets what the flags say.
func (l *Limits) Fill(opts *oci.Options) {
	opts.MaxMetadata, opts.MaxLayer = cli.OrNone(l.MaxMetadata), cli.OrNone(l.MaxLayer)
}

// Advise returns a hint for err, or "".
func (l *Limits) Advise(err error) string {
	var over *oci.LimitError
	if !errors.As(err, &over) {
		return ""
	}
	return map[oci.Limit]string{oci.MaxMetadata: "--max-metadata", oci.MaxLayer: "--max-layer"}[over.Limit] + " raises the limit"
}
