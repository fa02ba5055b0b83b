package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// manifest is a manifest or an index.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Image describes an image that AddImage made.
type Image struct {
	Manifest, Config string // digests
	Layers           []string
}

// AddBlob serves data, in every repository that has a tag, and returns its digest.
func (s *Server) AddBlob(data []byte) (digest string) {
	digest = fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	s.put(digest, blob{size: int64(len(data)), data: data})
	return digest
}

// AddBlob512 is AddBlob under a digest of SHA-512.
func (s *Server) AddBlob512(data []byte) (digest string) {
	digest = fmt.Sprintf("sha512:%x", sha512.Sum512(data))
	s.put(digest, blob{size: int64(len(data)), data: data})
	return digest
}

func (s *Server) put(digest string, b blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = b
}

// Tag gives a tag to the manifest or index that has the digest.
func (s *Server) Tag(repo, tag, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tags[repo] == nil {
		s.tags[repo] = map[string]string{}
	}
	s.tags[repo][tag] = digest
}

// AddImage serves an OCI image for this architecture. Its layers are tars, plain or
// compressed with gzip.
func (s *Server) AddImage(repo, tag string, layers ...[]byte) Image {
	var img Image
	m := manifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json"}
	diffIDs := []string{}
	for _, l := range layers {
		kind, plain := "application/vnd.oci.image.layer.v1.tar", l
		if z, err := gzip.NewReader(bytes.NewReader(l)); err == nil {
			kind += "+gzip"
			if plain, err = io.ReadAll(z); err != nil {
				panic(err)
			}
		}
		d := s.AddBlob(l)
		img.Layers = append(img.Layers, d)
		m.Layers = append(m.Layers, descriptor{MediaType: kind, Digest: d, Size: int64(len(l))})
		diffIDs = append(diffIDs, fmt.Sprintf("sha256:%x", sha256.Sum256(plain)))
	}
	config := mustJSON(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	img.Config = s.AddBlob(config)
	m.Config = &descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: img.Config, Size: int64(len(config))}
	img.Manifest = s.AddBlob(mustJSON(m))
	s.Tag(repo, tag, img.Manifest)
	return img
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Layer returns a layer in the form of gzip, of about size bytes that do not compress. It is
// the same for the same seed.
func Layer(seed uint64, size int) []byte {
	var b bytes.Buffer
	if err := writeLayer(&b, seed, int64(size)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func writeLayer(w io.Writer, seed uint64, size int64) error {
	z, err := gzip.NewWriterLevel(w, gzip.NoCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("data-%d", seed), Mode: 0o644, Size: size}); err != nil {
		return err
	}
	if _, err := io.CopyN(t, newRandom(seed), size); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

// AddLayout serves the images in an OCI layout directory; their names there are the tags. It
// reads blobs when clients ask for them.
func (s *Server) AddLayout(repo, dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return err
	}
	var index manifest
	if err := json.Unmarshal(data, &index); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if err != nil {
		return err
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		s.put(filepath.Base(filepath.Dir(path))+":"+filepath.Base(path), blob{size: info.Size(), path: path})
	}
	for _, d := range index.Manifests {
		s.Tag(repo, d.Annotations["org.opencontainers.image.ref.name"], d.Digest)
	}
	return nil
}

// WriteLayout writes the images of s as an OCI layout; the tags of all repositories are the
// names there.
func (s *Server) WriteLayout(dir string) error {
	index := manifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json"}
	s.mu.Lock()
	defer s.mu.Unlock()
	for digest, b := range s.blobs {
		path := filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(path, b.data, 0o666); err != nil {
			return err
		}
	}
	for _, tags := range s.tags {
		for tag, digest := range tags {
			b := s.blobs[digest]
			index.Manifests = append(index.Manifests, descriptor{
				MediaType: mediaType(b), Digest: digest, Size: b.size,
				Annotations: map[string]string{"org.opencontainers.image.ref.name": tag},
			})
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), mustJSON(index), 0o666)
}
