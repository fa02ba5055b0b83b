package commit

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/compression"
	"ocipipe/lib/input"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
	"ocipipe/lib/tree"
)

// Squash makes one layer of all layers of base, which may be nil, and of those in added. It
// merges them on metadata in memory, with contents in spool files. opts.Compression "" is
// gzip, which all programs read. The caller closes all of them.
func Squash(ctx context.Context, base *oci.Image, added []*Layer, opts TakeOptions, warn func(string)) (*Layer, error) {
	if opts.Compression == "" {
		opts.Compression = compression.Gzip
	}
	var inputs []layer.Input
	if base != nil {
		inputs = input.OfImage(base, input.Options{Warn: warn}).Layers
	}
	for _, l := range added {
		inputs = append(inputs, layer.Input{
			Name:    "added layer " + l.DiffID.String(),
			Open:    func(context.Context) (io.ReadCloser, error) { return l.open(), nil },
			Options: layer.Options{DiffID: l.DiffID, Verified: l.Digest, Warn: warn},
		})
	}
	merged, err := layer.Merge(ctx, inputs, layer.LoadOptions{SpoolDir: opts.TmpDir, Limits: opts.Limits})
	if err != nil {
		return nil, err
	}
	defer merged.Close()
	b, err := newBlob(opts.TmpDir)
	if err != nil {
		return nil, err
	}
	l := &Layer{Compression: opts.Compression, spool: b.spool}
	if l.DiffID, err = pack(ctx, b, merged.Tree.Source(tree.Flat), opts.Compression); err != nil {
		l.Close()
		return nil, err
	}
	l.Digest, l.Size = b.digest(), b.spool.Size()
	return l, nil
}

// pack writes the layer of src, compressed, and returns its diff-id.
func pack(ctx context.Context, b *blob, src tree.Source, kind compression.Kind) (digest.Digest, error) {
	z, err := layer.Compress(b, kind)
	if err != nil {
		return "", err
	}
	tar := digest.SHA256.Hash()
	w, err := layer.NewWriter(io.MultiWriter(tar, z), layer.WriterOptions{Layer: true})
	if err == nil {
		err = tree.Copy(ctx, w, src)
	}
	if err != nil {
		z.Abort(err)
		return "", err
	}
	return digest.NewDigest(digest.SHA256, tar), z.Close()
}
