package imagefiles

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"alpine":                   "docker.io/library/alpine",
		"alpine:3":                 "docker.io/library/alpine:3",
		"user/app:1":               "docker.io/user/app:1",
		"docker.io/alpine":         "docker.io/library/alpine",
		"index.docker.io/user/app": "docker.io/user/app",
		"localhost/app":            "localhost/app",
		"host:5000/app":            "host:5000/app",
		"ghcr.io/a/b:1":            "ghcr.io/a/b:1",
	} {
		if have := Normalize(in); have != want {
			t.Errorf("%s: %s", in, have)
		}
	}
	// msb 0.7.2 has this name for it.
	if have := MetadataName("docker.io/x/busybox-1:1"); have != "images/manifests/eb90ede9ae3577b27de05f033216caf51961d086ac3c55743ce674b64ea85d83.json" {
		t.Error(have)
	}
}

const diffID = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// documents are those of an image of two layers that are the same.
func documents() (manifest, config string) {
	config = `{"architecture":"amd64","os":"linux","config":{"Env":["A=<b>"],"Cmd":["sh"],"Labels":{"k":"v"}},"rootfs":{"type":"layers","diff_ids":["` + diffID + `","` + diffID + `"]}}`
	layer := `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + strings.Replace(diffID, "b", "c", 64) + `","size":7}`
	manifest = fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},"layers":[%s,%s]}`,
		digest.FromString(config), len(config), layer, layer)
	return manifest, config
}

func TestMetadata(t *testing.T) {
	manifest, config := documents()
	data, img, err := Encode([]byte(manifest), []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(data)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(img) || img.Manifest != digest.FromString(manifest) || len(img.Layers) != 2 {
		t.Errorf("%v, %v, %v", img, again, err)
	}
	if names := img.Objects(); len(names) != 3 || names[2] != "images/layers/sha256_"+diffID[7:]+".erofs" {
		t.Errorf("objects: %v", names)
	}
	var v struct {
		Config map[string]any   `json:"config"`
		Layers []map[string]any `json:"layers"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if have := fmt.Sprintf("%v %v %v %v %v", v.Config["env"], v.Config["cmd"], v.Config["entrypoint"], v.Layers[1]["diff_id"], v.Layers[0]["size_bytes"]); have != "[A=<b>] [sh] <nil> "+diffID+" 7" {
		t.Error(have)
	}
	for _, c := range []struct{ from, to, said string }{
		{`"manifest_digest":"sha256:`, `"manifest_digest":"sha256:0`, "does not have the digest"},
		{`\"size\":7`, `\"size\":8`, "does not have the digest"},
		{`amd64`, `arm64`, "the configuration does not have the digest"},
		{`{`, ``, "not the metadata"},
		{`"raw_manifest_json":"`, `"raw_manifest_json":"x`, "manifest"},
	} {
		if _, err := Decode([]byte(strings.Replace(string(data), c.from, c.to, 1))); !errors.Is(err, fault.ErrCorrupt) || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %v", c.to, err)
		}
	}
}

// The disk names the files by where they will lie, not by where they lie.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	manifest, config := documents()
	_, img, err := Encode([]byte(manifest), []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, filepath.Base(name)) }
	for _, name := range img.Objects() {
		if err := os.WriteFile(path(name), make([]byte, 8192), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := img.Disk(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`RW 16 FLAT "../fsmeta/sha256_` + img.Manifest.Encoded() + `.erofs" 0` + "\n",
		`RW 16 FLAT "../layers/sha256_` + diffID[7:] + `.erofs" 0` + "\n\n",
	} {
		if !strings.Contains(string(disk), want) {
			t.Errorf("no %s in %s", want, disk)
		}
	}
	if strings.Contains(string(disk), dir) {
		t.Errorf("the directory is in %s", disk)
	}
}
