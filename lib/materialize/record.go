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

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cas"
	"ocipipe/lib/jsonfault"
	"ocipipe/lib/layout"
)

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

// keepImage opens the image a, which is made of what about says. It builds the image if open
// says fs.ErrNotExist, or if the record of the image belongs to another file, and fills in r.
// The caller closes the image.
func (m *materializer) keepImage(ctx context.Context, a cas.Artifact, about record, r *Image,
	open func(context.Context) (*imageFile, error), write func(f *os.File) error) (*imageFile, error) {
	f, err := open(ctx)
	var rec record
	if err == nil {
		rec, err = m.recordFound(ctx, a, f, about)
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.Built, err = m.make(ctx, a, func(f *os.File) (err error) {
			if err = write(f); err == nil { // those who wait for the image find its record too
				rec, err = m.keepRecord(ctx, a, f, about)
			}
			return err
		})
		if err == nil {
			f, err = open(ctx)
		}
		if err == nil && !r.Built {
			rec, err = m.recordFound(ctx, a, f, about)
		}
	}
	if err != nil {
		f.close()
		return nil, m.ifRemoved(a, err)
	}
	r.Size, r.Digest, r.UUID = rec.Size, rec.Digest, uuidText(f.uuid)
	return f, nil
}

// recordFound returns the record of the image f, which the cache has. If it is that of
// another file, f is damaged: the error is fs.ErrNotExist, and f is closed.
func (m *materializer) recordFound(ctx context.Context, a cas.Artifact, f *imageFile, about record) (record, error) {
	rec, err := m.readRecord(ctx, a, about)
	if err == nil {
		err = m.checkFile(ctx, f.File, rec)
	} else if errors.Is(err, fs.ErrNotExist) {
		if !m.opts.Verify || f.img != nil {
			rec, err = m.keepRecord(ctx, a, f.File, about)
			if errors.Is(err, cas.ErrStore) { // what is found needs no room
				err = nil
			}
			return rec, err
		}
		err = errors.New("without a record, its content cannot be verified")
	}
	if err == nil || ctx.Err() != nil {
		return rec, err
	}
	m.passOver(a, err)
	f.close()
	return rec, fs.ErrNotExist
}

// readRecord returns the record of a: about, with a size and a digest. A damaged record is
// missing.
func (m *materializer) readRecord(ctx context.Context, a cas.Artifact, about record) (rec record, err error) {
	r, err := m.cache.Artifact(ctx, recordOf(a))
	if err != nil {
		return rec, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err == nil {
		err = jsonfault.Explain(json.Unmarshal(data, &rec))
	}
	about.Size, about.Digest = rec.Size, rec.Digest
	switch {
	case err != nil:
	case !bytes.Equal(data, about.encode()):
		err = errors.New("not the record of this image")
	case layout.CheckDigest(rec.Digest) != nil:
		err = fmt.Errorf("no digest: %.80q", rec.Digest)
	default:
		return rec, nil
	}
	m.passOver(recordOf(a), err)
	return rec, fs.ErrNotExist
}

// checkFile returns an error if f is not the file that rec is about, as far as its size says
// or, with Options.Verify, its digest.
func (m *materializer) checkFile(ctx context.Context, f *os.File, rec record) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != rec.Size {
		return fmt.Errorf("its record says %d bytes, and it has %d", rec.Size, info.Size())
	}
	if !m.opts.Verify {
		return nil
	}
	sum, err := sumOf(ctx, f, info.Size())
	if err == nil && sum != rec.Digest {
		err = fmt.Errorf("its record says %s, and it has %s", rec.Digest, sum)
	}
	return err
}

// keepRecord computes the digest of f, and writes the record of a unless the cache has it.
func (m *materializer) keepRecord(ctx context.Context, a cas.Artifact, f *os.File, rec record) (record, error) {
	info, err := f.Stat()
	if err != nil {
		return rec, err
	}
	rec.Size = info.Size()
	if rec.Digest, err = sumOf(ctx, f, rec.Size); err != nil {
		return rec, err
	}
	if old, err := m.readRecord(ctx, a, rec); err == nil {
		if old.Size == rec.Size && old.Digest == rec.Digest {
			return rec, nil
		}
		m.cache.PassOverArtifact(recordOf(a))
	}
	_, err = m.make(ctx, recordOf(a), func(f *os.File) error {
		_, err := f.Write(rec.encode())
		return err
	})
	return rec, err
}

// sumOf returns the SHA-256 of f, which has size bytes.
func sumOf(ctx context.Context, f *os.File, size int64) (digest.Digest, error) {
	h := sha256.New()
	if err := blockio.CopyExpanded(ctx, h, f, size); err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, h), nil
}
