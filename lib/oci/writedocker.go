package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/compression"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/unzstd"
)

// WriteDocker writes img to w in the form of docker save, which docker load and podman load
// take: manifest.json, the configuration, then the layers bottom to top, uncompressed, each
// once. repoTags are the names that the image gets; see package names. A compressed layer waits in
// a spool file in Options.TmpDir, since a tar says sizes in advance; there is one at a time,
// of Options.MaxLayer bytes at most. The bytes depend on nothing but the configuration, the
// layers, and repoTags.
//
// After success every layer has been verified, against its digest and its diff-id, and an
// archive from a pipe has been read to its end. After an error what was written has no end
// mark; its reader reports that.
func WriteDocker(ctx context.Context, w io.Writer, img *Image, repoTags []string, opts Options) error {
	d := dockerWriter{tar: tar.NewWriter(w), opts: opts, window: opts.window()}
	entry := manifest.DockerImage{Config: img.ConfigDigest.Encoded() + ".json", RepoTags: repoTags, Layers: []string{}}
	for _, l := range img.Layers {
		entry.Layers = append(entry.Layers, dockerName(&l))
	}
	err := d.bytes(manifest.DockerList, manifest.Encode([]manifest.DockerImage{entry}))
	if err == nil {
		err = d.bytes(entry.Config, img.Config)
	}
	done := map[digest.Digest]bool{}
	for i := range img.Layers {
		l := &img.Layers[i]
		if err == nil && !done[l.DiffID] {
			done[l.DiffID] = true
			if err = d.layer(ctx, l); err != nil {
				err = nameLayer(i, err)
			}
		}
	}
	if err == nil {
		err = img.Drain(ctx)
	}
	if err != nil {
		return err
	}
	return d.tar.Close()
}

func dockerName(l *Layer) string { return l.DiffID.Encoded() + ".tar" }

type dockerWriter struct {
	tar    *tar.Writer
	opts   Options
	window *unzstd.Window
}

// file writes a file whose content is r, of size bytes.
func (d *dockerWriter) file(name string, size int64, r io.Reader) error {
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: size, ModTime: time.Unix(0, 0)}
	if err := d.tar.WriteHeader(&h); err != nil {
		return err
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{d.tar}, struct{ io.Reader }{r}, make([]byte, copySize))
	return err
}

func (d *dockerWriter) bytes(name string, data []byte) error {
	return d.file(name, int64(len(data)), bytes.NewReader(data))
}

// layer writes the tar of l.
func (d *dockerWriter) layer(ctx context.Context, l *Layer) error {
	blob, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer blob.Close()
	in := bufio.NewReaderSize(blob, copySize)
	head, err := in.Peek(compression.HeadSize)
	if err != nil && err != io.EOF {
		return err
	}
	want := manifest.Descriptor{Digest: l.DiffID, Size: l.Size}
	if compression.IsPlain(head) {
		return d.file(dockerName(l), l.Size, Verify(io.NopCloser(in), want))
	}
	spool, err := blockio.NewSpool(d.opts.TmpDir)
	if err != nil {
		return err
	}
	defer spool.Close()
	sum := l.DiffID.Algorithm().Hash()
	if _, err := unpackTo(ctx, io.MultiWriter(sum, spool), in, d.window, d.opts.layerLimit()); err != nil {
		return err
	}
	if got := digest.NewDigest(l.DiffID.Algorithm(), sum); got != l.DiffID {
		return fmt.Errorf("%w: diff-id %s: the bytes are those of %s", ErrCorrupt, l.DiffID, got)
	}
	return d.file(dockerName(l), spool.Size(), spool.Section(0, spool.Size()))
}
