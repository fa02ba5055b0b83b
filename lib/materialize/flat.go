package materialize

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/merge"
	"ocipipe/lib/ext4"
	ext4read "ocipipe/lib/ext4/read"
	"ocipipe/lib/tree"
)

// flatRecord says all that determines the flat image.
func (m *materializer) flatRecord() record {
	o, options := m.opts.Flat, map[string]string{}
	set := func(name string, isSet bool, value func() string) {
		if isSet {
			options[name] = value()
		}
	}
	set("label", o.Label != "", func() string { return o.Label })
	set("mtime", o.Mtime != nil, func() string { return timeText(*o.Mtime) })
	set("clamp-mtime", o.Clamp != nil, func() string { return timeText(*o.Clamp) })
	set("epoch", o.Epoch != nil, func() string { return strconv.FormatInt(*o.Epoch, 10) })
	set("size", o.Size != 0, func() string { return strconv.FormatInt(o.Size, 10) })
	set("compression", m.opts.format() == EROFS && m.opts.compressionKey() != "", m.opts.compressionKey)
	set("free-space", o.FreeSpace != nil, func() string { return strconv.FormatInt(*o.FreeSpace, 10) })
	return record{Format: m.opts.format(), DiffIDs: m.diffIDs(), Options: options}
}

func (m *materializer) diffIDs() []digest.Digest {
	ids := make([]digest.Digest, len(m.img.Layers))
	for i, l := range m.img.Layers {
		ids[i] = l.DiffID
	}
	return ids
}

func (m *materializer) flatArtifact() cas.Artifact {
	key := digest.FromBytes(m.flatRecord().encode())
	return cas.Artifact{Kind: "rootfs", ABI: ABI, Key: key, Ext: string(m.opts.format())}
}

// buildFlat makes one image of the whole tree from the images of layers.
func (m *materializer) buildFlat(ctx context.Context) (err error) {
	done := m.opts.staged(StageFlat)
	defer func() { done(err) }()
	start, a := time.Now(), m.flatArtifact()
	r := &Image{Path: m.path(a), Format: m.opts.format()}
	f, err := m.keepImage(ctx, a, m.flatRecord(), r, m.openFlat, func(f *os.File) error { return m.writeFlat(ctx, f) })
	if err != nil {
		return err
	}
	f.close()
	if r.Built {
		r.Seconds = seconds(start)
	}
	m.result.Flat = r
	return nil
}

// openFlat opens the flat image if the cache has it undamaged; else the error is
// fs.ErrNotExist.
func (m *materializer) openFlat(ctx context.Context) (*imageFile, error) {
	a := m.flatArtifact()
	if m.opts.format() == EROFS {
		return m.openErofs(ctx, a)
	}
	f, err := m.cache.Artifact(ctx, a)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var img *ext4read.Image
		if img, err = ext4read.Open(f, info.Size()); err == nil {
			return &imageFile{File: f, uuid: img.UUID()}, nil
		}
	}
	f.Close()
	m.passOver(a, err)
	return nil, fs.ErrNotExist
}

func (m *materializer) writeFlat(ctx context.Context, f *os.File) error {
	t, err := merge.Layers(ctx, m.merging(), merge.Options{Limits: m.opts.Limits, Warn: m.opts.Warn})
	if err != nil {
		return err
	}
	w, err := m.flatWriter(ctx, f)
	if err != nil {
		return err
	}
	return tree.Copy(ctx, w, t.Source(tree.Flat))
}

func (m *materializer) flatWriter(ctx context.Context, f *os.File) (tree.Sink, error) {
	o := m.opts.Flat
	if m.opts.format() == Ext4 {
		return ext4.NewWriter(ctx, f, ext4.Options{
			Label: o.Label, Mtime: o.Mtime, Clamp: o.Clamp, Epoch: o.Epoch, Size: o.Size, FreeSpace: o.FreeSpace, Warn: m.opts.Warn,
		})
	}
	return erofs.NewWriter(ctx, f, erofs.Options{
		Label: o.Label, Mtime: o.Mtime, Clamp: o.Clamp, BuildTime: o.Epoch, SpoolDir: m.tmp(), MaxHoleBytes: m.opts.MaxHoleBytes, Warn: m.opts.Warn,
		WarnKernel: m.warnKernel, Compression: m.opts.compressionBy(workersFor(1)),
	})
}

func timeText(t tree.Time) string { return fmt.Sprintf("%d.%09d", t.Sec, t.Nsec) }
