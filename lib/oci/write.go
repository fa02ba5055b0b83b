package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/blockio"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
)

// WriteArchive writes img to w as an OCI archive: oci-layout, index.json, the
// manifest, the configuration, then the layers bottom to top, so that a reader
// of a pipe knows the image before its first layer arrives. It writes a blob that occurs
// twice once. The bytes depend on nothing but the image and its tag.
//
// If w has a method Expect(int64), WriteArchive tells it how many bytes w will get.
//
// After success every layer has been read and verified, and an archive from a pipe has
// been read to its end. After an error what was written has no end mark; its reader
// reports that.
func WriteArchive(ctx context.Context, w io.Writer, img *Image) error {
	a := tarPlan{done: map[string]bool{}}
	a.bytes(layout.File, []byte(layout.FileContent))
	a.bytes(layout.Index, indexOf(img))
	a.dir(layout.Blobs)
	a.blob(img.Digest, img.Manifest)
	a.blob(img.ConfigDigest, img.Config)
	for i := range img.Layers {
		a.layer(&img.Layers[i])
	}
	if a.err != nil {
		return a.err
	}
	a.add(piece{data: make([]byte, 2*tarBlock)}) // the end mark
	expect(w, a.size)
	out, _ := w.(Placer)
	from, _ := img.source.(Fetcher)
	if from != nil {
		if err := from.Fetch(img, a.places(out)); err != nil {
			return err
		}
	}
	for _, p := range a.pieces {
		if err := p.write(ctx, w, out, from); err != nil {
			return err
		}
	}
	return img.Drain(ctx)
}

// Placer is a file that is written from its beginning to its end, except for parts that
// something else writes.
type Placer interface {
	// Place returns the file and the offset of the next byte, or nil if the file can
	// only be written in order.
	Place() (f *os.File, off int64)
	// Skip moves past n bytes.
	Skip(n int64) error
}

// expect tells w how many bytes it will get, if w has a method for that.
func expect(w io.Writer, n int64) {
	if e, ok := w.(interface{ Expect(n int64) }); ok {
		e.Expect(n)
	}
}

// indexOf returns an index that lists img alone.
func indexOf(img *Image) []byte {
	d := manifest.Descriptor{MediaType: types.MediaType(img.MediaType), Digest: img.Digest, Size: int64(len(img.Manifest))}
	if conf, err := manifest.ParseConfig(img.Config); err == nil && conf.OS != "" && conf.Architecture != "" {
		d.Platform = &conf.Platform
	}
	if img.Tag != "" {
		d.Annotations = map[string]string{manifest.RefName: img.Tag}
	}
	return manifest.Encode(manifest.Document{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []manifest.Descriptor{d}})
}

const tarBlock = 512

// tarPlan is a tar before it is written. Its headers say nothing about this host.
type tarPlan struct {
	pieces []piece
	size   int64
	done   map[string]bool
	err    error // the first error of a header
}

// piece is a run of bytes of a tar: a layer, or data.
type piece struct {
	off   int64
	layer *Layer
	data  []byte
}

func (a *tarPlan) add(p piece) {
	p.off = a.size
	if a.pieces = append(a.pieces, p); p.layer != nil {
		a.size += p.layer.Size
	} else {
		a.size += int64(len(p.data))
	}
}

func (a *tarPlan) header(h tar.Header) {
	h.ModTime = time.Unix(0, 0)
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil && a.err == nil {
		a.err = err
	}
	a.add(piece{data: b.Bytes()})
}

func (a *tarPlan) dir(name string) {
	if !a.done[name] {
		a.done[name] = true
		a.header(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
	}
}

// file adds a file of size bytes, whose content is p.
func (a *tarPlan) file(name string, size int64, p piece) {
	a.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: size})
	a.add(p)
	a.add(piece{data: make([]byte, -size&(tarBlock-1))})
}

func (a *tarPlan) bytes(name string, data []byte) {
	a.file(name, int64(len(data)), piece{data: data})
}

// isNew reports whether the plan has no blob d yet, and then adds its directory.
func (a *tarPlan) isNew(d digest.Digest) bool {
	if a.done[layout.BlobName(d)] {
		return false
	}
	a.done[layout.BlobName(d)] = true
	a.dir(layout.Blobs + "/" + d.Algorithm().String())
	return true
}

func (a *tarPlan) blob(d digest.Digest, data []byte) {
	if a.isNew(d) {
		a.bytes(layout.BlobName(d), data)
	}
}

func (a *tarPlan) layer(l *Layer) {
	if a.isNew(l.Digest) {
		a.file(layout.BlobName(l.Digest), l.Size, piece{layer: l})
	}
}

// places returns where in out the layers go, or nil if out takes bytes only in order.
func (a *tarPlan) places(out Placer) map[digest.Digest]Place {
	if out == nil {
		return nil
	}
	f, base := out.Place()
	if f == nil {
		return nil
	}
	list := map[digest.Digest]Place{}
	for _, p := range a.pieces {
		if p.layer != nil {
			list[p.layer.Digest] = Place{f, base + p.off}
		}
	}
	return list
}

// write writes p to w; it verifies a layer up to its last byte. If from has put the layer
// in its place in out already, write skips it.
func (p piece) write(ctx context.Context, w io.Writer, out Placer, from Fetcher) error {
	if p.layer == nil {
		_, err := w.Write(p.data)
		return err
	}
	if from != nil && out != nil {
		switch placed, err := from.Placed(ctx, p.layer); {
		case err != nil:
			return nameLayer(p.layer.Index, err)
		case placed:
			return out.Skip(p.layer.Size)
		}
	}
	return p.layer.copyTo(ctx, w)
}

// copyTo writes the blob of the layer to w.
func (l *Layer) copyTo(ctx context.Context, w io.Writer) error {
	r, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// WriteLayer writes the blob of the layer that sel names (see Image.Layer) to w. The bytes
// are verified only if WriteLayer succeeds. Otherwise the last tailSize bytes of the blob were
// not written, so that whoever unpacks it finds it cut short, unless as many bytes that nobody
// needs, such as zeros, follow its tar.
func WriteLayer(ctx context.Context, w io.Writer, img *Image, sel string) error {
	l, err := img.Layer(sel)
	if err != nil {
		return err
	}
	expect(w, l.Size)
	t := &tail{w: w, left: max(l.Size-tailSize, 0)}
	if err := l.copyTo(ctx, t); err != nil {
		return err
	}
	_, err = w.Write(t.held)
	return err
}

// tailSize is more than the zeros at the end of a tar, which no reader needs.
const tailSize = 64 << 10

// tail passes the first left bytes on, and holds the others.
type tail struct {
	w    io.Writer
	left int64
	held []byte
}

func (t *tail) Write(p []byte) (int, error) {
	n := int(min(t.left, int64(len(p))))
	if n > 0 {
		if n, err := t.w.Write(p[:n]); err != nil {
			return n, err
		}
		t.left -= int64(n)
	}
	t.held = append(t.held, p[n:]...)
	return len(p), nil
}

// TakeFrom makes a tail a [blockio.FileTaker].
func (t *tail) TakeFrom(f *os.File, off, n int64) int64 {
	done := blockio.TakeFrom(t.w, f, off, min(n, t.left))
	t.left -= done
	return done
}
