package imagecache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
)

// PruneOptions say what Prune removes beside what nothing holds.
type PruneOptions struct {
	// Before: images that were last used before this time go. The zero value keeps them.
	Before time.Time
	// MaxSize: images go until blobs and artifacts take at most so many bytes, those first
	// that were not used for the longest time. nil is no limit.
	MaxSize *int64
}

// A Report says what was removed.
type Report struct {
	Images []Removed `json:"images"` // references
	Files  []File    `json:"files"`
	Freed  int64     `json:"freed"`  // bytes on the disk
	Size   int64     `json:"size"`   // of the blobs and artifacts that are left
	InUse  int64     `json:"in_use"` // of those left only because a process works with them
}

// Removed is an image that is no longer listed.
type Removed struct {
	Name     string        `json:"name,omitempty"`
	Manifest digest.Digest `json:"manifest"`
	Platform string        `json:"platform,omitempty"`
}

// Prune removes the files that no image holds and no process uses. Then it removes the
// images that o is about, and what they alone held. An image that a process uses stays, and
// so does every file that one uses.
//
// Processes that begin to use the cache wait meanwhile. Prune goes on where a file cannot be
// removed, and returns the first such error. It removes nothing, and returns an error, where
// index.json, refs.json or a manifest cannot be read: what is held is not known then. Of a
// manifest that is damaged or missing, only that image may lose files. The report is valid
// in any case.
func Prune(ctx context.Context, s *cas.Store, o PruneOptions) (Report, error) {
	return sweep(ctx, s, func(g *gardener) error {
		g.removeUnheld()
		images := slices.Clone(g.images)
		slices.SortStableFunc(images, func(a, b *Image) int { return a.lastUsed().Compare(b.lastUsed()) })
		var plan plan
		for _, im := range images {
			isOld := im.lastUsed().Before(o.Before)
			isTooMuch := o.MaxSize != nil && g.report.Size-plan.size > *o.MaxSize
			if (isOld || isTooMuch) && !g.sweep.InUse(layout.BlobName(im.Manifest)) {
				g.add(&plan, im)
			}
		}
		return g.remove(plan)
	})
}

// RemoveUnheld removes those of the named files, relative to the cache, that no image holds
// and no process uses. Names of other files are left out of the report. See Prune for errors.
func RemoveUnheld(ctx context.Context, s *cas.Store, names []string) (Report, error) {
	return sweep(ctx, s, func(g *gardener) error {
		var unheld []string
		for _, name := range names {
			if _, exists := g.files[name]; exists && g.holders[name] == 0 {
				unheld = append(unheld, name)
			}
		}
		g.removeFiles(unheld)
		return nil
	})
}

func (im *Image) lastUsed() time.Time {
	if im.LastUsed == nil {
		return time.Time{}
	}
	return *im.LastUsed
}

// Remove removes images, as List or Entries has returned them, and the files that they alone hold.
// Files that a process uses stay, for a later Prune. An image that is no longer listed, or
// not in this way, is left out of the report. See Prune for errors.
func Remove(ctx context.Context, s *cas.Store, images []Image) (Report, error) {
	meant := map[[4]string]bool{}
	for i := range images {
		meant[images[i].entry()] = true
	}
	return sweep(ctx, s, func(g *gardener) error {
		var plan plan
		for _, im := range g.images {
			if meant[im.entry()] {
				g.add(&plan, im)
			}
		}
		return g.remove(plan)
	})
}

// gardener removes files of a cache.
type gardener struct {
	*state
	sweep  *cas.Sweep
	report Report
	failed error // the first file that cannot be removed
}

// sweep calls work with the graph of s, while no process begins to use s.
func sweep(ctx context.Context, s *cas.Store, work func(*gardener) error) (Report, error) {
	g := &gardener{report: Report{Images: []Removed{}, Files: []File{}}}
	w, err := s.Sweep(ctx)
	if err != nil {
		return g.report, err
	}
	defer w.End()
	g.sweep = w
	if g.state, err = load(ctx, s); err != nil {
		return g.report, err
	}
	for _, f := range g.files {
		g.report.Size += f.Size
	}
	err = work(g)
	for name, f := range g.files {
		if g.holders[name] == 0 && w.InUse(name) {
			g.report.InUse += f.Size
		}
	}
	return g.report, cmp.Or(err, g.failed, context.Cause(ctx))
}

// removeUnheld removes the files that no image holds.
func (g *gardener) removeUnheld() {
	var names []string
	for name := range g.files {
		if g.holders[name] == 0 {
			names = append(names, name)
		}
	}
	g.removeFiles(names)
}

// plan is the removal of images.
type plan struct {
	images []*Image
	files  []string
	size   int64 // of the files, but for those in use
}

// add adds im, and what no other image needs then, to p.
func (g *gardener) add(p *plan, im *Image) {
	p.images = append(p.images, im)
	for _, name := range im.holds {
		if g.holders[name]--; g.holders[name] > 0 {
			continue
		}
		p.files = append(p.files, name)
		if !g.sweep.InUse(name) {
			p.size += g.files[name].Size
		}
	}
}

// remove removes the images of p from the lists, and then the files.
func (g *gardener) remove(p plan) error {
	if err := removeEntries(g.ctx, g.store, p.images); err != nil {
		return err
	}
	for _, im := range p.images {
		g.report.Images = append(g.report.Images, Removed{im.Name, im.Manifest, im.Platform})
	}
	g.removeFiles(p.files)
	return context.Cause(g.ctx)
}

// removeEntries removes the entries of images from the lists.
func removeEntries(ctx context.Context, s *cas.Store, images []*Image) error {
	if len(images) == 0 {
		return nil
	}
	refs := make([]cas.Ref, len(images))
	for i, im := range images {
		refs[i] = im.ref
	}
	return s.RemoveRef(ctx, refs...)
}

// ranks is the order in which kinds of files are removed: what refers to others first.
var ranks = []string{"vmdk/", "fsmeta/", "rootfs/", "layers/", "blobs/"}

func rank(name string) int {
	return slices.IndexFunc(ranks, func(dir string) bool { return strings.HasPrefix(name, dir) })
}

func (g *gardener) removeFiles(names []string) {
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b)) })
	for _, name := range names {
		if g.ctx.Err() != nil {
			return
		}
		switch err := g.sweep.Remove(name); {
		case errors.Is(err, cas.ErrInUse):
			continue
		case err != nil:
			g.failed = cmp.Or(g.failed, err)
			continue
		}
		f := g.file(name)
		g.report.Files = append(g.report.Files, f)
		g.report.Freed += f.Size
		g.report.Size -= f.Size
		delete(g.files, name)
	}
}
