package imagecache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/layout"
	"ocipipe/lib/vmdk"
)

// checkRecord verifies the record of a flat or a merged image.
func (v *verifier) checkRecord(name string) error {
	rec, err := v.record(name)
	if err == nil && !rec.isValid() {
		err = errors.New("damaged: not the record of an image")
	}
	return err
}

func (rec record) isValid() bool {
	valid := layout.CheckDigest(rec.Digest) == nil && (rec.Format == "erofs" || rec.Format == "ext4") && rec.DiffIDs != nil
	for _, d := range rec.DiffIDs {
		valid = valid && layout.CheckDigest(d) == nil
	}
	return valid
}

// recordOf reads the record of an image. ok is false if there is none that can be used.
func (v *verifier) recordOf(a cas.Artifact) (rec record, ok bool) {
	a.Ext = "json"
	rec, err := v.record(a.Name())
	return rec, err == nil && rec.isValid()
}

// checkRecorded compares an image with its record. Without a record, which tells what a flat
// image is, that is a fault.
func (v *verifier) checkRecorded(ctx context.Context, a cas.Artifact, f *counted, size int64) error {
	rec, ok := v.recordOf(a)
	switch {
	case !ok:
		return errors.New("has no record that tells its digest")
	case rec.Format != a.Ext:
		return fmt.Errorf("is %s, but %s according to its record", a.Ext, rec.Format)
	case rec.Size != size:
		return fmt.Errorf("damaged: has %d bytes, and %d according to its record", size, rec.Size)
	}
	return checkDigest(ctx, f, rec.Digest)
}

// checkForeign verifies an artifact of another version, whose rules are not known.
func (v *verifier) checkForeign(ctx context.Context, a cas.Artifact, f *counted, size int64) (err error) {
	switch rec, ok := v.recordOf(a); {
	case a.Ext == "json": // of whatever form
	case ok && rec.Format == a.Ext:
		return v.checkRecorded(ctx, a, f, size)
	case a.Ext == "vmdk":
		err = v.checkDisk(ctx, a, f)
	case a.Ext == "erofs" && a.Kind != "fsmeta": // that may count the blocks of the layers as its own
		_, err = read.Open(f, size)
	}
	if errors.Is(err, read.ErrUnsupported) || errors.Is(err, vmdk.ErrUnsupported) {
		return nil
	}
	return err
}

// checkMerged verifies a merged EROFS image (fsmeta).
func (v *verifier) checkMerged(ctx context.Context, a cas.Artifact, f *counted, size int64) error {
	if err := v.checkRecorded(ctx, a, f, size); err != nil {
		return err
	}
	if err := erofs.VerifyUUID(ctx, f, size); err != nil {
		return err
	}
	doc := v.docs[a.Key]
	if doc.diffIDs == nil { // not known
		return nil
	}
	return erofs.CheckDevices(f, v.layerIDs(doc.diffIDs, a))
}

// layerIDs returns the images of layers over which merged was made, as far as they are there:
// those of the same version of the writers, compressed in the same way. A layer that is there
// twice is one.
func (v *verifier) layerIDs(diffIDs []digest.Digest, merged cas.Artifact) (ids []erofs.LayerID) {
	for i, d := range diffIDs {
		if !slices.Contains(diffIDs[:i], d) {
			a := cas.Artifact{Kind: "layers", ABI: merged.ABI, Key: d, Variant: layersOf(merged.Variant), Ext: "erofs"}
			ids = append(ids, erofs.LayerID{Name: "layer " + d.String(), UUID: v.uuid(a)})
		}
	}
	return ids
}

// uuid returns that of an image, and zero if there is none.
func (v *verifier) uuid(a cas.Artifact) [16]byte {
	f, err := v.s.OpenFile(a.Name())
	if err != nil {
		return [16]byte{}
	}
	defer f.Close()
	head := make([]byte, disk.SuperOffset+disk.SuperSize)
	n, _ := io.ReadFull(f, head)
	s, ok := disk.FindSuperblock(head[:n])
	if !ok {
		return [16]byte{}
	}
	return s.UUID
}

// shorten makes paths in an error about a disk names in the cache.
func (v *verifier) shorten(a cas.Artifact, err error) error {
	text := strings.ReplaceAll(err.Error(), v.s.Path(a)+": ", "")
	up := strings.Repeat("/..", strings.Count(a.Name(), "/"))
	text = strings.ReplaceAll(text, filepath.Dir(v.s.Path(a))+up+"/", "")
	return shortened{err, text}
}

type shortened struct {
	error
	text string
}

func (s shortened) Error() string { return s.text }
func (s shortened) Unwrap() error { return s.error }

// maxDisk is the length of the longest descriptor of a disk, in bytes.
const maxDisk = 1 << 20

// checkDisk verifies a descriptor, and that its extents are there and not damaged.
func (v *verifier) checkDisk(ctx context.Context, a cas.Artifact, f *counted) error {
	var warned string
	if err := vmdk.Check(ctx, v.s.Path(a), func(msg string) { warned = msg }); err != nil {
		return v.shorten(a, err)
	}
	if warned != "" && a.ABI == ABI { // of a CID, which is made of what this version takes
		return v.shorten(a, errors.New(warned))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxDisk))
	if err != nil {
		return err
	}
	desc, err := vmdk.ParseDescriptor(text)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, line := range desc.Lines {
		name := path.Join(path.Dir(a.Name()), line.Name)
		if filepath.IsAbs(line.Name) {
			name, _ = filepath.Rel(v.s.Dir(), line.Name)
			name = filepath.ToSlash(name)
		}
		if _, bad := v.bad[name]; bad {
			return fmt.Errorf("its extent %s is damaged", name)
		}
	}
	return nil
}
