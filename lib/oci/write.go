package oci

import (
	"archive/tar"
	"context"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// WriteArchive writes img to w as an OCI archive: oci-layout, index.json, the
// manifest, the configuration, then the layers bottom to top, so that a reader
// of a pipe knows the image before its first layer arrives. A blob that is there
// twice is written once. The bytes depend on nothing but the image and its tag.
//
// On success every layer, and a piped source to its end, has been read and
// verified. After an error what was written lacks its end mark, which readers
// report.
func WriteArchive(ctx context.Context, w io.Writer, img *Image) error {
	if err := img.Prefetch(); err != nil {
		return err
	}
	a := archiveWriter{tw: tar.NewWriter(w), done: map[string]bool{}}
	a.bytes(layoutName, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	a.bytes(indexName, indexOf(img))
	a.dir(blobsDir)
	a.blobBytes(img.Digest, img.Manifest)
	a.blobBytes(img.ConfigDigest, img.Config)
	for i := range img.Layers {
		if a.err == nil {
			a.layer(ctx, &img.Layers[i])
		}
	}
	if a.err == nil {
		a.err = img.Finish(ctx)
	}
	if a.err != nil {
		return a.err
	}
	return a.tw.Close()
}

// indexOf is an index that lists img alone.
func indexOf(img *Image) []byte {
	d := descriptor{MediaType: types.MediaType(img.MediaType), Digest: img.Digest, Size: int64(len(img.Manifest))}
	if conf, err := parseConfig(img.Config); err == nil && conf.OS != "" && conf.Architecture != "" {
		d.Platform = &conf.platform
	}
	if img.Tag != "" {
		d.Annotations = map[string]string{annotationRefName: img.Tag}
	}
	return mustJSON(document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []descriptor{d}})
}

// archiveWriter writes tar entries whose headers say nothing of this host. Its
// first error sticks.
type archiveWriter struct {
	tw   *tar.Writer
	done map[string]bool
	buf  []byte
	err  error
}

func (a *archiveWriter) header(h tar.Header) {
	h.ModTime = time.Unix(0, 0)
	if a.err == nil {
		a.err = a.tw.WriteHeader(&h)
	}
}

func (a *archiveWriter) dir(name string) {
	if !a.done[name] {
		a.done[name] = true
		a.header(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
	}
}

func (a *archiveWriter) bytes(name string, data []byte) {
	a.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: int64(len(data))})
	if a.err == nil {
		_, a.err = a.tw.Write(data)
	}
}

// isNew reports whether the blob d is not there yet, and makes its directory.
func (a *archiveWriter) isNew(d digest.Digest) bool {
	if a.done[blobName(d)] {
		return false
	}
	a.done[blobName(d)] = true
	a.dir(blobsDir + "/" + d.Algorithm().String())
	return true
}

func (a *archiveWriter) blobBytes(d digest.Digest, data []byte) {
	if a.isNew(d) {
		a.bytes(blobName(d), data)
	}
}

// layer copies a layer, verified up to its last byte.
func (a *archiveWriter) layer(ctx context.Context, l *Layer) {
	if !a.isNew(l.Digest) {
		return
	}
	r, err := l.Open(ctx)
	if err != nil {
		a.err = err
		return
	}
	defer r.Close()
	a.header(tar.Header{Typeflag: tar.TypeReg, Name: blobName(l.Digest), Mode: 0o444, Size: l.Size})
	if a.err != nil {
		return
	}
	if a.buf == nil {
		a.buf = make([]byte, copySize)
	}
	_, a.err = io.CopyBuffer(struct{ io.Writer }{a.tw}, struct{ io.Reader }{r}, a.buf)
}

// WriteLayer writes the blob of the layer that sel names (see Image.Layer) to w.
// Only success says that it is the right one.
func WriteLayer(ctx context.Context, w io.Writer, img *Image, sel string) error {
	l, err := img.Layer(sel)
	if err != nil {
		return err
	}
	r, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, copySize))
	return err
}
