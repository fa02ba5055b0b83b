// Package imagefiles has the files of an image that an archive of snapshots may hold, so
// that who unpacks it needs no registry:
//
//	images/manifests/HEX.json           metadata; HEX is the SHA-256 of the reference
//	images/fsmeta/sha256_HEX.erofs      the layers merged; HEX is of the manifest
//	images/vmdk/sha256_HEX.vmdk         a disk of that and the layers
//	images/layers/sha256_HEX.erofs      each layer; HEX is of its diff-id
//
// The same names without "images/" are those of the files where they are unpacked. The disk
// names the others relative to itself. That of microsandbox has absolute paths of another
// machine, so it is made again.
package imagefiles

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/jsonfault"
	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/strictjson"
	"ocipipe/lib/vmdk"
)

// Dir begins the names of these files in an archive.
const Dir = "images/"

// Image is what the metadata says.
type Image struct {
	Manifest digest.Digest
	Layers   []digest.Digest // diff-ids, bottom to top
}

// MetadataName is the name of the metadata of the image with the reference.
func MetadataName(reference string) string {
	sum := sha256.Sum256([]byte(reference))
	return Dir + "manifests/" + hex.EncodeToString(sum[:]) + ".json"
}

// FSMetaName is the name of the merged layers.
func (i *Image) FSMetaName() string { return Dir + "fsmeta/" + fileOf(i.Manifest) + ".erofs" }

// DiskName is the name of the disk.
func (i *Image) DiskName() string { return Dir + "vmdk/" + fileOf(i.Manifest) + ".vmdk" }

// LayerName is the name of a layer.
func LayerName(diffID digest.Digest) string { return Dir + "layers/" + fileOf(diffID) + ".erofs" }

func fileOf(d digest.Digest) string { return d.Algorithm().String() + "_" + d.Encoded() }

// Objects returns the names of the files but for the metadata, in the order in which they
// are written.
func (i *Image) Objects() []string {
	names, seen := []string{i.FSMetaName(), i.DiskName()}, map[digest.Digest]bool{}
	for _, d := range i.Layers {
		if !seen[d] {
			names = append(names, LayerName(d))
		}
		seen[d] = true
	}
	return names
}

// Normalize returns the reference in full: docker.io/library/alpine for alpine.
func Normalize(reference string) string {
	host, rest, ok := strings.Cut(reference, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, rest = "docker.io", reference
	}
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return host + "/" + rest
}

// Encode returns the metadata of the image with these documents, and what it says.
func Encode(rawManifest, rawConfig []byte) ([]byte, *Image, error) {
	img, doc, err := parse(rawManifest, rawConfig)
	if err != nil {
		return nil, nil, err
	}
	run, err := manifest.ParseRun(rawConfig)
	if err != nil {
		return nil, nil, err
	}
	layers, labels := strictjson.List(), strictjson.Map()
	for i, l := range doc.Layers {
		layers.Items = append(layers.Items, strictjson.Record().Set("digest", strictjson.Str(l.Digest.String())).
			Set("media_type", strictjson.Str(string(l.MediaType))).Set("size_bytes", strictjson.Int(l.Size)).
			Set("diff_id", strictjson.Str(img.Layers[i].String())))
	}
	for k, v := range run.Labels {
		labels.Set(k, strictjson.Str(v))
	}
	config := strictjson.Record().Set("env", strictjson.Strs(run.Env)).Set("cmd", orNull(run.Cmd)).Set("entrypoint", orNull(run.Entrypoint)).
		Set("working_dir", textOrNull(run.WorkingDirectory)).Set("user", textOrNull(run.User)).
		Set("exposed_ports", strictjson.Strs(run.ExposedPorts)).Set("volumes", strictjson.Strs(run.Volumes)).
		Set("labels", labels).Set("stop_signal", textOrNull(run.StopSignal))
	return strictjson.Append(nil, strictjson.Record().
		Set("manifest_digest", strictjson.Str(img.Manifest.String())).
		Set("config_digest", strictjson.Str(doc.Config.Digest.String())).
		Set("raw_manifest_json", strictjson.Str(string(rawManifest))).
		Set("raw_config_json", strictjson.Str(string(rawConfig))).
		Set("config", config).Set("layers", layers)), img, nil
}

func orNull(list []string) *strictjson.Value {
	if len(list) == 0 {
		return strictjson.Text(nil)
	}
	return strictjson.Strs(list)
}

func textOrNull(s string) *strictjson.Value {
	if s == "" {
		return strictjson.Text(nil)
	}
	return strictjson.Str(s)
}

// Decode reads metadata. The documents in it must have the digests that it states, and
// those are all that it is used for.
func Decode(data []byte) (*Image, error) {
	var v struct {
		ManifestDigest  digest.Digest `json:"manifest_digest"`
		RawManifestJSON string        `json:"raw_manifest_json"`
		RawConfigJSON   string        `json:"raw_config_json"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fault.Corrupt("not the metadata of an image: %w", jsonfault.Explain(err))
	}
	img, _, err := parse([]byte(v.RawManifestJSON), []byte(v.RawConfigJSON))
	if err == nil && img.Manifest != v.ManifestDigest {
		err = fault.Corrupt("the manifest does not have the digest %.80s", v.ManifestDigest)
	}
	return img, err
}

// parse parses the documents of an image and compares them with each other.
func parse(rawManifest, rawConfig []byte) (*Image, *manifest.Document, error) {
	img := &Image{Manifest: digest.FromBytes(rawManifest)}
	doc, isIndex, err := manifest.Parse(rawManifest, manifest.Untyped("", img.Manifest, int64(len(rawManifest))))
	switch {
	case err != nil:
		return nil, nil, fault.Corrupt("manifest: %w", err)
	case isIndex || doc.Config == nil:
		return nil, nil, fault.Corrupt("manifest: not one of an image")
	case digest.FromBytes(rawConfig) != doc.Config.Digest:
		return nil, nil, fault.Corrupt("the configuration does not have the digest %.80s", doc.Config.Digest)
	}
	config, err := manifest.ParseConfig(rawConfig)
	if err != nil {
		return nil, nil, fault.Corrupt("configuration: %w", err)
	}
	img.Layers = config.RootFS.DiffIDs
	if len(img.Layers) != len(doc.Layers) {
		return nil, nil, fault.Corrupt("the manifest has %d layers, the configuration %d", len(doc.Layers), len(img.Layers))
	}
	for _, d := range img.Layers {
		if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
			return nil, nil, fault.Corrupt("diff-id %.80q is not a SHA-256", string(d))
		}
	}
	return img, &doc, nil
}

// Disk returns the disk, a VMDK descriptor. path returns where a file of the image lies
// now, by its name; its size is read there.
func (i *Image) Disk(path func(name string) string) ([]byte, error) {
	names := slices.DeleteFunc(i.Objects(), func(name string) bool { return name == i.DiskName() }) // each layer once
	paths := make([]string, len(names))
	for k, name := range names {
		paths[k] = path(name)
	}
	disk, err := vmdk.Open(paths)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	desc, err := disk.Descriptor(vmdk.FlatOptions{Absolute: true, Force: true})
	if err != nil {
		return nil, err
	}
	if len(desc.Lines) != len(names) {
		return nil, fault.Unsupported("a disk of %d extents in %d lines", len(names), len(desc.Lines))
	}
	for k, name := range names {
		desc.Lines[k].Name = "../" + strings.TrimPrefix(name, Dir)
	}
	return desc.Encode()
}
