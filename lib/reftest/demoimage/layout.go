package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// The fields of the OCI image specification that an image needs.
type (
	descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	index struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}
	manifest struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}
	imageConfig struct {
		Created      string `json:"created"`
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Config       struct {
			Entrypoint []string
		} `json:"config"`
		RootFS struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
)

const ociType = "application/vnd.oci.image."

// layout is an OCI image layout that is being written.
type layout struct {
	dir     string
	layers  []descriptor
	diffIDs []string
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (l *layout) addLayer(raw []byte, compress bool) error {
	blob, mediaType := raw, ociType+"layer.v1.tar"
	if compress {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(raw) // into memory
		z.Close()
		blob, mediaType = b.Bytes(), mediaType+"+gzip"
	}
	d, err := l.put(mediaType, blob)
	l.layers = append(l.layers, d)
	l.diffIDs = append(l.diffIDs, digest(raw))
	return err
}

// finish writes the configuration, the manifest and the index, which names the image by the
// tag.
func (l *layout) finish(tag string) error {
	c := imageConfig{Created: "2024-01-01T00:00:00Z", Architecture: runtime.GOARCH, OS: "linux"}
	c.Config.Entrypoint = []string{"/init"}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", l.diffIDs
	config, err := l.putJSON("config.v1+json", c)
	if err != nil {
		return err
	}
	m, err := l.putJSON("manifest.v1+json", manifest{2, ociType + "manifest.v1+json", config, l.layers})
	if err != nil {
		return err
	}
	m.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag}
	b, err := json.Marshal(index{2, ociType + "index.v1+json", []descriptor{m}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.dir, "index.json"), b, 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o666)
}

func (l *layout) putJSON(kind string, v any) (descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return l.put(ociType+kind, b)
}

func (l *layout) put(mediaType string, blob []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: digest(blob), Size: len(blob)}
	blobs := filepath.Join(l.dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o777); err != nil {
		return d, err
	}
	return d, os.WriteFile(filepath.Join(blobs, d.Digest[len("sha256:"):]), blob, 0o666)
}
