package materialize

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

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
	fsmeta *erofsFile
	result Result
	built  atomic.Bool // something was built
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

// erofsFile is an open EROFS image in the cache.
type erofsFile struct {
	*os.File
	img *erofsread.Image
}

func (f *erofsFile) close() {
	if f != nil {
		f.File.Close()
	}
}

// openErofs opens an image that the cache has. A damaged one is named in a warning, and
// missing from now on: the error is fs.ErrNotExist then too.
func (m *materializer) openErofs(ctx context.Context, a cas.Artifact, devices ...erofsread.Device) (*erofsFile, error) {
	f, err := m.cache.Artifact(ctx, a)
	if err != nil {
		return nil, err
	}
	img, err := m.checkErofs(ctx, f, devices)
	if err == nil {
		return &erofsFile{f, img}, nil
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

// record says what a file in the cache is made of, and its digest. It lies beside the file,
// with the extension json.
type record struct {
	Digest  digest.Digest     `json:"digest"` // SHA-256 of the file
	Size    int64             `json:"size"`
	Format  Format            `json:"format"`
	DiffIDs []digest.Digest   `json:"diff_ids"`
	Options map[string]string `json:"options"`
}

const maxRecord = 1 << 20

// encode returns r as it is stored.
func (r record) encode() []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return append(data, '\n')
}

func recordOf(a cas.Artifact) cas.Artifact {
	a.Ext = "json"
	return a
}

// readRecord returns the record of a, whose file is f: about, with the size and the digest of
// f. A damaged record is missing.
func (m *materializer) readRecord(ctx context.Context, a cas.Artifact, f *os.File, about record) (record, error) {
	r, err := m.cache.Artifact(ctx, recordOf(a))
	if err != nil {
		return record{}, err
	}
	defer r.Close()
	rec, err := m.checkRecord(ctx, r, f, about)
	if err != nil && ctx.Err() == nil {
		m.passOver(recordOf(a), err)
		err = fs.ErrNotExist
	}
	return rec, err
}

func (m *materializer) checkRecord(ctx context.Context, r, f *os.File, about record) (rec record, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err != nil {
		return rec, err
	}
	about.Size, about.Digest = rec.Size, rec.Digest
	info, err := f.Stat()
	switch {
	case err != nil:
		return rec, err
	case !bytes.Equal(data, about.encode()):
		return rec, errors.New("not the record of this image")
	case rec.Size != info.Size():
		return rec, fmt.Errorf("it says %d bytes, and the file has %d", rec.Size, info.Size())
	case layout.CheckDigest(rec.Digest) != nil:
		return rec, fmt.Errorf("no digest: %.80q", rec.Digest)
	case !m.opts.Verify:
		return rec, nil
	}
	sum, err := sumOf(ctx, f)
	if err == nil && sum != rec.Digest {
		err = fmt.Errorf("it says %s, and the file has %s", rec.Digest, sum)
	}
	return rec, err
}

// keepRecord computes the digest of f, and writes the record of a.
func (m *materializer) keepRecord(ctx context.Context, a cas.Artifact, f *os.File, rec record) (record, error) {
	info, err := f.Stat()
	if err != nil {
		return rec, err
	}
	rec.Size = info.Size()
	if rec.Digest, err = sumOf(ctx, f); err != nil {
		return rec, err
	}
	_, err = m.make(ctx, recordOf(a), func(f *os.File) error {
		_, err := f.Write(rec.encode())
		return err
	})
	return rec, err
}

// sumOf returns the SHA-256 of all of f.
func sumOf(ctx context.Context, f *os.File) (digest.Digest, error) {
	h := sha256.New()
	r := io.NewSectionReader(f, 0, 1<<62)
	for buf := make([]byte, 1<<20); ; {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return digest.NewDigest(digest.SHA256, h), nil
		}
		if err != nil {
			return "", err
		}
	}
}
