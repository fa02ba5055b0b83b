package oci

import (
	"context"
	"fmt"
)

// choose loads the image of an index that serves the wanted platform best; of
// equals the first.
func (l *loader) choose(ctx context.Context, list []descriptor, depth int) (*Image, error) {
	found, err := l.candidates(ctx, list, depth, nil)
	if err != nil {
		return nil, err
	}
	best, at := -1, -1
	for i, c := range found {
		r := l.want.rank(c.platform)
		if r >= 0 && (best < 0 || r < best || r == best && len(c.platform.OSFeatures) > len(found[at].platform.OSFeatures)) {
			best, at = r, i
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("%w: the index lists no image", ErrUnsupported)
	case len(found) == 1 && found[0].desc.Platform == nil:
		at = 0 // no choice was meant
	case at < 0 && len(found) == 1 && l.opts.AllowOtherPlatform:
		at = 0
	case at < 0:
		return nil, l.noneFor(found)
	}
	c := found[at]
	if best >= 0 && c.platform.normal().Architecture != l.want.Architecture && c.desc.Platform != nil {
		l.opts.warn("no image for %s: taking %s", l.want.full(), c.platform.full())
	}
	if c.data == nil {
		if c.data, err = l.document(ctx, c.desc); err != nil {
			return nil, err
		}
	}
	img, err := l.loadData(ctx, c.desc, c.data, maxNesting)
	if err == nil {
		img.offered = c.desc.Platform
	}
	return img, err
}

// noneFor is the error where none of the images found is for the wanted platform.
func (l *loader) noneFor(found []candidate) error {
	err := fmt.Errorf("platform %s: %w: %s", l.want.full(), ErrNotFound, platforms(found))
	switch {
	case len(found) > 1:
		return err
	case l.opts.Platform == "":
		return &hintError{err, "--platform " + found[0].platform.full() + " takes it"}
	}
	return &hintError{err, hintOther}
}

const hintOther = "--allow-other-platform takes it all the same"

// candidate is an image that an index offers.
type candidate struct {
	desc     descriptor
	platform platform
	data     []byte // the manifest where it had to be read
}

// candidates lists the images of an index and of the indexes in it. Where the
// index does not say for which platform an image is, its configuration does.
func (l *loader) candidates(ctx context.Context, list []descriptor, depth int, found []candidate) ([]candidate, error) {
	for _, d := range list {
		if d.Platform != nil && d.Platform.isZero() {
			d.Platform = nil
		}
		if d.Annotations[annotationDocker] != "" || d.Platform != nil && d.Platform.isUnknown() {
			continue
		}
		if d.Platform != nil && !d.MediaType.IsIndex() {
			found = append(found, candidate{desc: d, platform: *d.Platform})
			continue
		}
		data, err := l.document(ctx, d)
		if err != nil {
			return nil, err
		}
		doc, isIndex, err := parseDocument(data, d)
		switch {
		case err != nil:
			return nil, err
		case isIndex && depth+1 >= maxNesting:
			return nil, fmt.Errorf("%w: more than %d indexes within each other", ErrUnsupported, maxNesting)
		case isIndex:
			if found, err = l.candidates(ctx, doc.Manifests, depth+1, found); err != nil {
				return nil, err
			}
		default:
			c, err := l.unlabelled(ctx, d, data, doc)
			if err != nil {
				return nil, err
			}
			found = append(found, c)
		}
	}
	return found, nil
}

// unlabelled is the candidate of a manifest whose index states no platform.
func (l *loader) unlabelled(ctx context.Context, d descriptor, data []byte, doc document) (candidate, error) {
	c := candidate{desc: d, data: data}
	if !isConfig(doc.Config.MediaType) {
		return c, nil
	}
	_, conf, err := l.config(ctx, *doc.Config)
	c.platform = conf.platform
	return c, err
}

func platforms(list []candidate) string {
	var s []string
	for _, c := range list {
		if p := c.platform.full(); p != "/" {
			s = append(s, p)
		}
	}
	return choices(s)
}

// compare refuses an image that is not for the platform that the user asked for, by
// the label that its index gives it or, without one, by its configuration.
func (l *loader) compare(label *platform, conf platform) error {
	if label == nil || label.isZero() {
		label = &conf
	}
	switch {
	case l.opts.Platform == "", l.want.accepts(*label) && l.want.accepts(conf):
		return nil
	case l.want.accepts(*label):
		l.opts.warn("the configuration of the image is for %s, its index says %s", conf.full(), label.full())
	case l.opts.AllowOtherPlatform:
		l.opts.warn("the image is for %s, not for %s", label.full(), l.want.full())
	default:
		return &hintError{fmt.Errorf("platform %s: %w: the image is for %s", l.want.full(), ErrNotFound, label.full()), hintOther}
	}
	return nil
}
