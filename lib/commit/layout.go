package commit

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/cas"
	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/names"
)

// WriteLayout adds img to the OCI layout in dir, which it makes if there is none, under the
// name tag (see names.CheckRefName), in place of what has that name. Blobs that are there already
// are not read again. index.json changes last, in one step, under the lock that all tools of
// ocipipe take. After an error blobs may be left, which nothing refers to and the next try uses.
func WriteLayout(ctx context.Context, dir, tag string, img *oci.Image, warn func(string)) error {
	if err := names.CheckRefName(tag); err != nil {
		return err
	}
	s, err := cas.Open(ctx, dir, cas.Options{Warn: warn})
	if err != nil {
		return err
	}
	blobs := []digest.Digest{img.ConfigDigest}
	for i := range img.Layers {
		l := &img.Layers[i]
		blobs = append(blobs, l.Digest)
		if err := putLayer(ctx, s, l); err != nil {
			return err
		}
	}
	if err := s.Put(ctx, img.ConfigDigest, img.Config); err != nil {
		return err
	}
	if err := s.Put(ctx, img.Digest, img.Manifest); err != nil {
		return err
	}
	ref := cas.Ref{Name: tag, MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(img.Manifest))}
	if conf, err := manifest.ParseConfig(img.Config); err == nil && conf.OS != "" {
		ref.Platform = &conf.Platform
	}
	return s.SetRef(ctx, ref, blobs)
}

// putLayer puts the blob of a layer into s, unless it is there.
func putLayer(ctx context.Context, s *cas.Store, l *oci.Layer) error {
	p, err := s.Begin(ctx, l.Digest, l.Size)
	if errors.Is(err, cas.ErrExists) {
		return nil
	} else if err != nil {
		return err
	}
	defer p.Close()
	r, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := fill(ctx, p, r); err != nil {
		return err
	}
	return p.Commit(ctx)
}

// fill writes what is missing of p; r is the whole blob.
func fill(ctx context.Context, p *cas.Part, r io.Reader) error {
	missing, buf, at := p.Missing(), make([]byte, copySize), int64(0)
	for {
		n, err := io.ReadFull(blockio.Stoppable(ctx, r), buf)
		for _, m := range missing {
			from, end := max(m.Off, at), min(m.End, at+int64(n))
			if from >= end {
				continue
			}
			if _, err := p.WriteAt(buf[from-at:end-at], from); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case err == io.EOF, err == io.ErrUnexpectedEOF: // of io.ReadFull
			return nil
		case err != nil:
			return err
		}
	}
}
