package imagecache

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
)

// What Fault.Repair says.
const (
	repairedFile  = "removed"
	repairedEntry = "entry removed"
	repairedMoved = "entry moved to " + cas.DroppedIndex
)

// repair mends the faults that were found.
func (v *verifier) repair(ctx context.Context) error {
	w, err := v.s.Sweep(ctx)
	if err != nil {
		return err
	}
	defer w.End()
	mended, err := v.s.IndexFaults(ctx, true)
	if err != nil {
		return err
	}
	for _, m := range mended {
		for i, f := range v.result.Faults {
			if f.File == m.File && f.What == m.What {
				v.result.Faults[i].Repair = repairedEntry
			}
		}
	}
	var failed error
	of := map[string][]int{} // the faults of a file
	for i, f := range v.result.Faults {
		of[f.File] = append(of[f.File], i)
	}
	for _, name := range slices.Sorted(maps.Keys(v.bad)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !v.isAsFound(name) {
			continue // another process has replaced or removed it
		}
		switch err := w.Remove(name); {
		case err == nil:
			for _, i := range of[name] {
				v.result.Faults[i].Repair = repairedFile
			}
		case !errors.Is(err, cas.ErrInUse) && failed == nil:
			failed = err
		}
	}
	if err := v.repairEntries(ctx); err != nil {
		return err
	}
	return failed
}

// isAsFound reports whether the file called name is the one that was found damaged.
func (v *verifier) isAsFound(name string) bool {
	f, err := v.s.OpenFile(name)
	if err != nil {
		return v.bad[name] == nil // it could not be read then either
	}
	defer f.Close()
	info, err := f.Stat()
	was := v.bad[name]
	return err == nil && was != nil && os.SameFile(was, info) && was.Size() == info.Size() && was.ModTime().Equal(info.ModTime())
}

// repairEntries looks again which images are complete, now that what was damaged is gone.
func (v *verifier) repairEntries(ctx context.Context) error {
	refs, err := v.s.AllRefs()
	if err != nil {
		return err
	}
	st, err := loadRefs(ctx, v.s, refs, true)
	if err != nil {
		return err
	}
	var gone []*Image
	for _, im := range st.images {
		if len(im.Problems) == 0 || im.unknown {
			continue
		}
		if im.lacking == len(im.Problems) && im.Name != "" && im.Config != "" {
			dropped := im.ref
			dropped.Dropped = true
			if err := v.s.SetRef(ctx, dropped, []digest.Digest{im.Config}); err != nil {
				return err
			}
			v.mended(im, repairedMoved)
		} else {
			gone = append(gone, im)
		}
	}
	if err := removeEntries(ctx, v.s, gone); err != nil {
		return err
	}
	for _, im := range gone {
		v.mended(im, repairedEntry)
	}
	return nil
}

// mended notes what was done about the faults of the entry of im.
func (v *verifier) mended(im *Image, what string) {
	for _, i := range v.ofEntry[im.entry()] {
		v.result.Faults[i].Repair = what
	}
}
