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

// checkRecorded compares an image with its record. Without a record, which tells what a flat
// image is, that is a fault.
func (v *verifier) checkRecorded(ctx context.Context, a cas.Artifact, f *counted, size int64) error {
	format := a.Ext
	a.Ext = "json"
	rec, err := v.record(a.Name())
	switch {
	case err != nil || !rec.isValid():
		return errors.New("has no record that tells its digest")
	case rec.Format != format:
		return fmt.Errorf("is %s, but %s according to its record", format, rec.Format)
	case rec.Size != size:
		return fmt.Errorf("damaged: has %d bytes, and %d according to its record", size, rec.Size)
	}
	return checkDigest(ctx, f, size, rec.Digest)
}

// checkMerged verifies a merged EROFS image (fsmeta).
func (v *verifier) checkMerged(ctx context.Context, a cas.Artifact, f *counted, size int64) error {
	if err := v.checkRecorded(ctx, a, f, size); err != nil {
		return err
	}
	if err := erofs.VerifyUUID(ctx, f, size); err != nil {
		return err
	}
	img, err := read.Open(f, size)
	if err != nil {
		return err
	}
	return v.checkDevices(a.Key, img.DeviceTable())
}

// checkDevices compares the tags of the devices of the merged image of a manifest with the
// images of its layers, as far as those are there. An image without a table has no tags.
func (v *verifier) checkDevices(key digest.Digest, table []disk.DeviceSlot) error {
	doc, ok := v.docs[key]
	if !ok || doc.diffIDs == nil || len(table) == 0 {
		return nil
	}
	var layers []digest.Digest // a layer that is there twice is one device
	for _, d := range doc.diffIDs {
		if !slices.Contains(layers, d) {
			layers = append(layers, d)
		}
	}
	if len(layers) != len(table) {
		return fmt.Errorf("has %d devices for %d layers", len(table), len(layers))
	}
	for i, slot := range table {
		want, ok := slot.UUID()
		if uuids := v.uuids(layers[i]); len(uuids) > 0 && (!ok || !slices.Contains(uuids, want)) {
			return fmt.Errorf("its device %d is not the image of layer %s", i, layers[i])
		}
	}
	return nil
}

// uuids returns those of the images of a layer.
func (v *verifier) uuids(diffID digest.Digest) (list [][16]byte) {
	for _, name := range v.byKey[diffID] {
		if !strings.HasPrefix(name, "layers/") {
			continue
		}
		f, err := v.s.OpenFile(name)
		if err != nil {
			continue
		}
		head := make([]byte, disk.SuperOffset+1024)
		n, _ := io.ReadFull(f, head)
		f.Close()
		if s, ok := disk.FindSuperblock(head[:n]); ok {
			list = append(list, s.UUID)
		}
	}
	return list
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
	if warned != "" {
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
		}
		if _, bad := v.bad[name]; bad {
			return fmt.Errorf("its extent %s is damaged", name)
		}
	}
	return nil
}
