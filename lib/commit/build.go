package commit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/platform"
)

// Options say how an image is built. The zero value is useful.
type Options struct {
	Change Change
	// Annotations are added to those of the base's manifest.
	Annotations map[string]string
	// BaseName is the full name of the base in a registry, for an annotation; "" for none.
	BaseName string
	// Created is the time of the image and of new history entries, in seconds since 1970.
	Created int64
	// CreatedBy says in the history what made the layers.
	CreatedBy string
	// Comment goes to the history, Author to the history and the configuration.
	Comment, Author string
	// Platform is that of an image without a base.
	Platform platform.Platform
	// Squashed says that the only layer has all of the base too.
	Squashed bool
	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
}

// ErrNoPlatform says that an image without a base has no platform.
var ErrNoPlatform = errors.New("an image without a base needs a platform")

// Build returns the image of base, which may be nil, with the layers in added on top. It
// reads none of them. The caller closes base and the layers, after the image.
func Build(ctx context.Context, base *oci.Image, added []*Layer, opts Options) (*oci.Image, error) {
	if err := opts.Change.Check(); err != nil {
		return nil, err
	}
	if base == nil {
		if opts.Platform.OS == "" || opts.Platform.Architecture == "" {
			return nil, ErrNoPlatform
		}
		base = &oci.Image{Config: encode(opts.Platform)}
	}
	s := &source{added: added, opts: opts}
	if !opts.Squashed {
		s.base = base.Layers
	}
	var err error
	if s.config, err = s.newConfig(base); err != nil {
		return nil, err
	}
	form, annotations, err := s.form(base)
	if err != nil {
		return nil, err
	}
	s.manifest = s.newManifest(form, annotations, base)
	d := manifest.Descriptor{MediaType: form.manifest, Digest: digest.FromBytes(s.manifest), Size: int64(len(s.manifest))}
	limits := oci.Options{MaxMetadata: -1} // it is our own
	img, err := oci.Load(ctx, s, d, s.manifest, limits)
	if err != nil {
		return nil, fmt.Errorf("new image: %w", err)
	}
	return img, nil
}

// newConfig returns the configuration of the new image.
func (s *source) newConfig(base *oci.Image) ([]byte, error) {
	conf, err := parseObject("document", base.Config)
	if err != nil {
		return nil, err
	}
	run, err := parseObject("config", conf.raw("config"))
	if err != nil {
		return nil, err
	}
	if err := s.opts.Change.apply(run); err != nil {
		return nil, err
	}
	conf.set("created", s.created())
	if s.opts.Author != "" {
		conf.set("author", s.opts.Author)
	}
	conf.set("config", run)
	rootfs, err := parseObject("rootfs", conf.raw("rootfs"))
	if err != nil {
		return nil, err
	}
	ids := []digest.Digest{}
	for _, l := range s.base {
		ids = append(ids, l.DiffID)
	}
	for _, l := range s.added {
		ids = append(ids, l.DiffID)
	}
	rootfs.set("type", "layers")
	rootfs.set("diff_ids", ids)
	conf.set("rootfs", rootfs)
	history, err := s.history(conf, len(base.Layers))
	if err != nil {
		return nil, err
	}
	conf.set("history", history)
	return encode(conf), nil
}

func (s *source) created() string {
	return time.Unix(s.opts.Created, 0).UTC().Format(time.RFC3339)
}

// history returns the entries of the base, which has n layers, and new ones. Programs that
// compare the history with the layers find an entry for each.
func (s *source) history(conf *object, n int) ([]*object, error) {
	var raw []rawObject
	if err := conf.get("history", &raw); err != nil {
		return nil, err
	}
	list, layers := []*object{}, 0
	for i, r := range raw {
		entry, err := parseObject(fmt.Sprintf("history %d", i), r.text)
		if err != nil {
			return nil, err
		}
		empty := false
		if err := entry.get("empty_layer", &empty); err != nil {
			return nil, err
		}
		if !empty {
			layers++
		}
		if s.opts.Squashed {
			entry.set("empty_layer", true)
		}
		list = append(list, entry)
	}
	for ; layers < n && !s.opts.Squashed; layers++ { // the base keeps no history of them
		e := &object{}
		e.set("comment", "layer of the base image")
		list = append(list, e)
	}
	for range s.added {
		list = append(list, s.entry())
	}
	if len(s.added) == 0 {
		e := s.entry()
		e.set("empty_layer", true)
		list = append(list, e)
	}
	return list, nil
}

// entry returns a new entry.
func (s *source) entry() *object {
	e := &object{}
	e.set("created", s.created())
	for _, m := range [][2]string{{"created_by", s.opts.CreatedBy}, {"author", s.opts.Author}, {"comment", s.opts.Comment}} {
		if m[1] != "" {
			e.set(m[0], m[1])
		}
	}
	return e
}

// rawObject keeps the text of a value.
type rawObject struct{ text []byte }

func (r *rawObject) UnmarshalJSON(data []byte) error {
	r.text = append([]byte(nil), data...)
	return nil
}

// newManifest returns the manifest of the new image.
func (s *source) newManifest(f form, annotations map[string]string, base *oci.Image) []byte {
	m := struct {
		manifest.Document
		Layers      []manifest.Descriptor `json:"layers"` // also if there is none
		Annotations map[string]string     `json:"annotations,omitempty"`
	}{
		Document: manifest.Document{
			SchemaVersion: 2, MediaType: f.manifest,
			Config: &manifest.Descriptor{MediaType: f.config, Digest: digest.FromBytes(s.config), Size: int64(len(s.config))},
		},
		Layers: []manifest.Descriptor{},
	}
	for _, l := range s.base {
		d := l.Descriptor()
		d.MediaType = f.ofBase(d.MediaType)
		m.Layers = append(m.Layers, d)
	}
	for _, l := range s.added {
		m.Layers = append(m.Layers, manifest.Descriptor{MediaType: f.layers[l.Compression], Digest: l.Digest, Size: l.Size})
	}
	m.Annotations = maps.Clone(annotations)
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	delete(m.Annotations, manifest.BaseName)
	delete(m.Annotations, manifest.BaseDigest)
	if base.Digest != "" && !s.opts.Squashed {
		m.Annotations[manifest.BaseDigest] = base.Digest.String()
		if s.opts.BaseName != "" {
			m.Annotations[manifest.BaseName] = s.opts.BaseName
		}
	}
	maps.Copy(m.Annotations, s.opts.Annotations)
	return manifest.Encode(m)
}

// source is an oci.Source of the new image.
type source struct {
	base             []oci.Layer
	added            []*Layer
	opts             Options
	manifest, config []byte
}

var errRead = errors.New("the manifest is at hand")

// Manifest implements oci.Source; nothing calls it.
func (s *source) Manifest(context.Context, manifest.Descriptor) (io.ReadCloser, error) {
	return nil, errRead
}

// Config implements oci.Source.
func (s *source) Config(context.Context, manifest.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.config)), nil
}

// Layer implements oci.Source. A layer of the base verifies itself; a spool file belongs to
// this process alone.
func (s *source) Layer(ctx context.Context, index int, _ manifest.Descriptor) (io.ReadCloser, error) {
	if index < len(s.base) {
		return s.base[index].Open(ctx)
	}
	return s.added[index-len(s.base)].open(), nil
}
