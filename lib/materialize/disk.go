package materialize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/imagecache"
	"ocipipe/lib/vmdk"
)

// variant tells apart images of metadata with other options than the default.
func (m *materializer) variant() string {
	return imagecache.MergedVariant(m.opts.compressionKey(), m.opts.NoDeviceTable)
}

func (m *materializer) fsmetaArtifact() cas.Artifact {
	return cas.Artifact{Kind: "fsmeta", ABI: ABI, Key: m.img.Digest, Variant: m.variant(), Ext: "erofs"}
}

func (m *materializer) vmdkArtifact() cas.Artifact {
	return cas.Artifact{Kind: "vmdk", ABI: ABI, Key: m.img.Digest, Variant: m.variant(), Ext: "vmdk"}
}

// merging returns the images of all layers, bottom to top, under names for messages.
func (m *materializer) merging() (list []merge.Layer) {
	for i := range m.img.Layers {
		list = append(list, merge.Layer{Name: fmt.Sprintf("layer %d", i), Image: m.ofLayer(i).file.img})
	}
	return list
}

// buildFsmeta makes the image of metadata that merges the layers.
func (m *materializer) buildFsmeta(ctx context.Context) (err error) {
	done := m.opts.staged(StageFsmeta)
	defer func() { done(err) }()
	start, a := time.Now(), m.fsmetaArtifact()
	r := &Image{Path: m.path(a), Format: EROFS}
	m.fsmeta, err = m.keepImage(ctx, a, record{Format: EROFS, DiffIDs: m.diffIDs(), Options: m.fsmetaOptions()}, r, m.openFsmeta, func(f *os.File) error {
		opts := erofs.Options{NoDeviceTable: m.opts.NoDeviceTable, Warn: m.opts.Warn, WarnKernel: m.warnKernel}
		return erofs.WriteFsmeta(ctx, f, m.merging(), m.opts.Limits, opts)
	})
	if err != nil {
		return err
	}
	if r.Built {
		r.Seconds = seconds(start)
	}
	m.result.Fsmeta = r
	return nil
}

// openFsmeta opens the image with the layers as its devices, so that one that belongs to
// other layer images counts as damaged.
func (m *materializer) openFsmeta(ctx context.Context) (*imageFile, error) {
	var devices []erofsread.Device
	for _, l := range m.layers {
		devices = append(devices, l.file.img.Device(fmt.Sprintf("layer %d", l.index)))
	}
	return m.openErofs(ctx, m.fsmetaArtifact(), devices...)
}

func (m *materializer) fsmetaOptions() map[string]string {
	options := map[string]string{}
	if m.opts.NoDeviceTable {
		options["device-table"] = "no"
	}
	if key := m.opts.compressionKey(); key != "" {
		options["compression"] = key
	}
	return options
}

// buildVMDK makes the descriptor of a disk that holds the fsmeta image and the layers. It
// costs so little that the cache's own is only compared with it.
func (m *materializer) buildVMDK(ctx context.Context) (err error) {
	done := m.opts.staged(StageVMDK)
	defer func() { done(err) }()
	start, a := time.Now(), m.vmdkArtifact()
	r := &Disk{Path: m.path(a)}
	r.Size, r.DiskSize, err = m.checkVMDK(ctx, a)
	if errors.Is(err, fs.ErrNotExist) {
		r.Built, err = m.make(ctx, a, func(f *os.File) error {
			text, _, err := m.descriptor()
			if err == nil {
				_, err = f.Write(text)
			}
			return err
		})
		if err == nil {
			r.Size, r.DiskSize, err = m.checkVMDK(ctx, a)
		}
	}
	if err != nil {
		return err
	}
	if r.Built {
		r.Seconds = seconds(start)
	}
	m.result.VMDK = r
	return nil
}

// checkVMDK returns the sizes of the descriptor that the cache has and of the disk. If the
// text is not that of the disk, the descriptor counts as missing.
func (m *materializer) checkVMDK(ctx context.Context, a cas.Artifact) (size, diskSize int64, err error) {
	f, err := m.cache.Artifact(ctx, a)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	text, diskSize, err := m.descriptor()
	if err != nil {
		return 0, 0, err
	}
	have, err := io.ReadAll(io.LimitReader(f, int64(len(text))+1))
	if err == nil && !bytes.Equal(have, text) {
		err = errors.New("it is not the descriptor of this disk")
	}
	if err != nil {
		m.passOver(a, err)
		return 0, 0, fs.ErrNotExist
	}
	return int64(len(text)), diskSize, nil
}

// descriptor returns the text of the descriptor, and the size of the disk. The directory of
// the descriptor must exist.
func (m *materializer) descriptor() (text []byte, size int64, err error) {
	paths := []string{m.path(m.fsmetaArtifact())}
	for i := range m.img.Layers {
		paths = append(paths, m.path(m.ofLayer(i).artifact))
	}
	disk, err := vmdk.Open(paths)
	if err != nil {
		return nil, 0, err
	}
	defer disk.Close()
	if err := disk.Verify(); err != nil {
		return nil, 0, err
	}
	dir := filepath.Dir(m.path(m.vmdkArtifact()))
	d, err := disk.Descriptor(vmdk.FlatOptions{Dir: dir, Force: true})
	if err != nil {
		return nil, 0, err
	}
	text, err = d.Encode()
	return text, disk.Size(), err
}
