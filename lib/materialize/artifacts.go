package materialize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"ocipipe/lib/atomicfile"
	"ocipipe/lib/cas"
	"ocipipe/lib/erofs"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/pull"
)

// materializer is a call of Materialize.
type materializer struct {
	opts   Options
	cache  *cas.Store
	dir    string // of the cache, absolute
	img    *pull.Image
	use    *cas.Use // nil if the cache cannot be written
	layers []*layerImage
	fsmeta *imageFile
	upper  *atomicfile.File // not in its place yet
	result Result
	built  atomic.Bool // something was built
	warned sync.Map    // what warnKernel has said
}

// names returns the files in the cache that the call uses, but for the blobs of layers: these
// are in use as long as the image is open.
func (m *materializer) names() []string {
	names := []string{layout.BlobName(m.img.Digest), layout.BlobName(m.img.ConfigDigest)}
	if r := m.result.Index; r != nil {
		names = append(names, layout.BlobName(r.Digest))
	}
	artifacts := []cas.Artifact{m.fsmetaArtifact(), recordOf(m.fsmetaArtifact()), m.vmdkArtifact(), m.flatArtifact(), recordOf(m.flatArtifact())}
	for _, l := range m.layers {
		artifacts = append(artifacts, l.artifact)
	}
	for _, a := range artifacts {
		names = append(names, a.Name())
	}
	return names
}

// path returns the absolute path of an artifact.
func (m *materializer) path(a cas.Artifact) string { return filepath.Join(m.dir, a.Name()) }

// imageFile is an open image in the cache.
type imageFile struct {
	*os.File
	uuid [16]byte
	img  *erofsread.Image // nil for ext4
}

func (f *imageFile) close() {
	if f != nil {
		f.File.Close()
	}
}

// openErofs opens an image that the cache has. A damaged one is named in a warning, and
// missing from now on: the error is fs.ErrNotExist then too.
func (m *materializer) openErofs(ctx context.Context, a cas.Artifact, devices ...erofsread.Device) (*imageFile, error) {
	f, err := m.cache.Artifact(ctx, a)
	if err != nil {
		return nil, err
	}
	img, err := m.checkErofs(ctx, f, devices)
	if err == nil {
		return &imageFile{f, img.UUID(), img}, nil
	}
	f.Close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	m.passOver(a, err)
	return nil, fs.ErrNotExist
}

func (m *materializer) checkErofs(ctx context.Context, f *os.File, devices []erofsread.Device) (*erofsread.Image, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	img, err := erofsread.Open(f, info.Size(), devices...)
	if err == nil && len(devices) == 0 && img.Length() != info.Size() {
		err = fmt.Errorf("%w: %d bytes instead of %d", erofsread.ErrCorrupt, info.Size(), img.Length())
	}
	if err == nil && m.opts.Verify {
		err = erofs.VerifyUUID(ctx, f, info.Size())
	}
	return img, err
}

// passOver makes the cache build a again, because of err.
func (m *materializer) passOver(a cas.Artifact, err error) {
	m.opts.warn("%s: %v: built anew", m.path(a), err)
	m.cache.PassOverArtifact(a)
}

// made notes that something was built.
func (m *materializer) made() { m.built.Store(true) }

// make is the cache's Make. It reports whether this call has built a; otherwise another
// process did so meanwhile.
func (m *materializer) make(ctx context.Context, a cas.Artifact, build func(f *os.File) error) (bool, error) {
	err := m.cache.Make(ctx, a, build)
	if errors.Is(err, cas.ErrExists) {
		return false, nil
	}
	if err == nil {
		m.made()
	}
	return err == nil, err
}
