package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/platform"
)

// choose loads the image of an index that serves the wanted platform best. Of equally good
// ones it takes the first.
func (l *loader) choose(ctx context.Context, list []manifest.Descriptor, depth int) (*Image, error) {
	s := search{loader: l}
	if err := s.list(ctx, list, depth); err != nil {
		return nil, err
	}
	found := s.found
	best, at := -1, -1
	for i, c := range found {
		r := l.want.Rank(c.platform)
		if r >= 0 && (best < 0 || r < best || r == best && len(c.platform.OSFeatures) > len(found[at].platform.OSFeatures)) {
			best, at = r, i
		}
	}
	switch {
	case at >= 0:
	case len(found) == 1 && found[0].desc.Platform == nil:
		at = 0 // the index states no platform, so it offers no choice
	case s.missing != nil: // it may be the wanted one
		return nil, s.missing
	case len(found) == 0:
		return nil, noImage("the index", s.others)
	case len(found) == 1 && l.opts.AllowOtherPlatform:
		at = 0
	default:
		return nil, l.noneFor(found)
	}
	c := found[at]
	if best >= 0 && c.platform.Normal().Architecture != l.want.Architecture && c.desc.Platform != nil {
		l.opts.warn("no image for %s: taking %s", l.want.Full(), c.platform.Full())
	}
	if c.data == nil {
		data, err := l.document(ctx, c.desc)
		if err != nil {
			return nil, err
		}
		c.data = data
	}
	img, err := l.loadData(ctx, c.desc, c.data, maxNesting)
	if err == nil {
		img.Listed = c.desc.Platform
	}
	return img, err
}

// noneFor returns the error if none of the images that were found is for the wanted platform.
func (l *loader) noneFor(found []candidate) error {
	e := l.notFor(platforms(found))
	for _, c := range found {
		e.Available = append(e.Available, c.platform.Full())
	}
	e.Sole = len(found) == 1
	return e
}

// notFor returns the error if no image is for the wanted platform.
func (l *loader) notFor(what string) *PlatformError {
	return &PlatformError{Wanted: l.want.Full(), Asked: l.opts.Platform != "", what: what}
}

// candidate is an image that an index offers.
type candidate struct {
	desc     manifest.Descriptor
	platform platform.Platform
	data     []byte // the manifest if it had to be read
}

// search finds the images of an index and of the indexes in it. It skips entries that are
// not images, as the specification says, and missing ones.
type search struct {
	*loader
	found   []candidate
	missing error    // about the first missing entry
	others  []string // types of entries that are not images
}

func (s *search) list(ctx context.Context, list []manifest.Descriptor, depth int) error {
	for _, d := range list {
		if d.Platform != nil && d.Platform.IsZero() {
			d.Platform = nil
		}
		if kind := d.OtherType(); kind != "" {
			s.others = append(s.others, kind)
			continue
		}
		if d.Platform != nil && !d.MediaType.IsIndex() {
			s.found = append(s.found, candidate{desc: d, platform: *d.Platform})
			continue
		}
		switch err := s.read(ctx, d, depth); {
		case errors.Is(err, ErrNotFound) && s.missing == nil:
			s.missing = err
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		}
	}
	return nil
}

// read reads d: an index, or a manifest whose index states no platform for it. The
// configuration of a manifest says the platform.
func (s *search) read(ctx context.Context, d manifest.Descriptor, depth int) error {
	data, err := s.document(ctx, d)
	if err != nil {
		return err
	}
	doc, isIndex, err := manifest.Parse(data, d)
	switch {
	case err != nil:
		return err
	case isIndex && depth+1 >= maxNesting:
		return fmt.Errorf("%w: more than %d indexes within each other", ErrUnsupported, maxNesting)
	case isIndex:
		return s.list(ctx, doc.Manifests, depth+1)
	}
	kind := doc.Artifact()
	if kind == "" && len(doc.Layers) > 0 && !slices.ContainsFunc(doc.Layers, manifest.Descriptor.IsFileSystem) {
		kind = string(doc.Layers[0].MediaType) // of a signature, say
	}
	if kind != "" {
		s.others = append(s.others, kind)
		return nil
	}
	_, conf, err := s.config(ctx, *doc.Config)
	if !manifest.IsImageConfig(doc.Config.MediaType) && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnsupported)) {
		s.others = append(s.others, string(doc.Config.MediaType))
		return nil
	}
	if err == nil {
		s.found = append(s.found, candidate{d, conf.Platform, data})
	}
	return err
}

// noImage returns the error for an index that lists only entries of the types in others;
// where is the name of the index in messages.
func noImage(where string, others []string) error {
	if len(others) == 0 {
		return fmt.Errorf("%w: %s lists no image", ErrUnsupported, where)
	}
	return fmt.Errorf("%w: %s lists no image, only %s", ErrUnsupported, where, joinNames(others))
}

func platforms(list []candidate) string {
	var s []string
	for _, c := range list {
		if p := c.platform.Full(); p != "/" {
			s = append(s, p)
		}
	}
	return choices(s)
}

// compare returns an error if an image is not for the platform that the user asked for. It
// goes by label, the platform that the index gives the image, or without one by the
// configuration.
func (l *loader) compare(label *platform.Platform, conf platform.Platform) error {
	if label == nil || label.IsZero() {
		label = &conf
	}
	switch {
	case l.opts.Platform == "", l.want.Accepts(*label) && l.want.Accepts(conf):
		return nil
	case l.want.Accepts(*label):
		l.opts.warn("the configuration of the image is for %s, its index says %s", conf.Full(), label.Full())
	case l.opts.AllowOtherPlatform:
		l.opts.warn("the image is for %s, not for %s", label.Full(), l.want.Full())
	default:
		e := l.notFor("the image is for " + label.Full())
		e.Available, e.Sole = []string{label.Full()}, true
		return e
	}
	return nil
}
