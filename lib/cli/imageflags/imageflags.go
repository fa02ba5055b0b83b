// Package imageflags has the flags about the image that a tool reads, each group as a
// struct that a tool embeds, and names the flags that help against errors of package oci.
package imageflags

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/oci"
	"ocipipe/lib/platform"
)

// Choice holds the flags that choose one image among several.
type Choice struct {
	Platform           string `placeholder:"OS/ARCH" help:"Platform to choose from an index, and to require."`
	AllowOtherPlatform bool   `help:"Take the only image though its platform differs."`
}

// Check returns an error for a platform that cannot be parsed.
func (c *Choice) Check() error {
	if _, err := platform.Parse(c.Platform); err != nil {
		return cli.Usage("%v", err)
	}
	return nil
}

// Fill puts the flags into opts.
func (c *Choice) Fill(opts *oci.Options) {
	opts.Platform, opts.AllowOtherPlatform = c.Platform, c.AllowOtherPlatform
}

// Advise returns a hint for err, or "".
func (c *Choice) Advise(err error) string {
	var none *oci.PlatformError
	var other *oci.NotImageError
	switch {
	case errors.As(err, &other) && other.Directory:
		return "tar -C DIR -c . | tar2tree makes a tree stream of a directory"
	case errors.As(err, &other):
		return "tar2tree makes a tree stream of a layer, oci-commit --layer an image"
	case !errors.As(err, &none) || !none.Sole:
		return ""
	case none.Asked:
		return "--allow-other-platform takes it all the same"
	}
	return "--platform " + none.Available[0] + " takes it"
}

// Limits holds the flags that limit how much an image can make a tool read; 0 is no limit.
type Limits struct {
	MaxMetadata int64 `type:"size" default:"16M" placeholder:"SIZE" group:"Limits on the input" help:"Size of an index, manifest or config."`
	MaxLayer    int64 `type:"size" default:"64G" placeholder:"SIZE" group:"Limits on the input" help:"Unpacked layer of docker save."`
}

// Fill puts the flags into opts.
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
