package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/imagefiles"
)

// imageOf makes the files of an image with one layer, whatever is in them.
func imageOf(t *testing.T, ref string) (*ImageFiles, form06.Image) {
	t.Helper()
	diffID := digest.FromString("layer")
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, diffID)
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":7}]}`,
		digest.FromString(config), len(config), diffID)
	i := &ImageFiles{name: imagefiles.MetadataName(ref), files: map[string]*os.File{}}
	var err error
	if i.metadata, i.image, err = imagefiles.Encode([]byte(raw), []byte(config)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, filepath.Base(name)) }
	for n, name := range []string{i.image.FSMetaName(), imagefiles.LayerName(diffID)} {
		if err := os.WriteFile(path(name), bytes.Repeat([]byte{byte(n + 1)}, 8192), 0o644); err != nil {
			t.Fatal(err)
		}
		if i.files[name], err = os.Open(path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if i.disk, err = i.image.Disk(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i, form06.Image{Ref: ref, Manifest: i.image.Manifest}
}

// withImage returns a plain archive with an image.
func withImage(t *testing.T, formName string) []byte {
	t.Helper()
	files, img := imageOf(t, "docker.io/library/alpine:3")
	c, err := Create(CreateOptions{Upper: makeDisk(t, 8192, pattern(8192), 0), Form: formName, FSType: "none", Image: img})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b bytes.Buffer
	o := plain
	o.Form, o.Image = formName, files
	if _, err := c.WriteArchive(t.Context(), &b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImage(t *testing.T) {
	for _, formName := range []string{"0.6", "0.7"} {
		b := withImage(t, formName)
		images := t.TempDir()
		for range 2 {
			c, err := Unpack(t.Context(), bytes.NewReader(b), t.TempDir(), UnpackOptions{Images: images})
			if err != nil || len(c.Image) != 4 {
				t.Fatal(c, err)
			}
		}
		if have := list(t, images); strings.Count(have, " ") != 7 || !strings.Contains(have, "vmdk/sha256_") || !strings.Contains(have, "manifests/") {
			t.Errorf("%s: %s", formName, have)
		}
		// Without a directory they are left out; where one cannot be used, nothing is made.
		dir := t.TempDir()
		if _, err := Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{Images: dir + "/nowhere"}); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		layers, _ := filepath.Glob(images + "/layers/*")
		if err := os.WriteFile(layers[0], []byte("other"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{Images: images}); !errors.Is(err, ErrExists) {
			t.Error(err)
		}
		if list(t, dir) != "" || strings.Contains(list(t, images), stagingPrefix) {
			t.Errorf("left %s and %s", list(t, dir), list(t, images))
		}
	}
}

// What is in the way of one file keeps all others out, of the image and of the snapshots.
func TestImageConflicts(t *testing.T) {
	for _, formName := range []string{"0.6", "0.7"} {
		b := withImage(t, formName)
		first := t.TempDir()
		c, err := Unpack(t.Context(), bytes.NewReader(b), t.TempDir(), UnpackOptions{Images: first, Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.Image {
			dir, images := t.TempDir(), t.TempDir()
			taken := filepath.Join(images, strings.TrimPrefix(name, imagefiles.Dir))
			if err := errors.Join(os.Mkdir(filepath.Dir(taken), 0o755), os.WriteFile(taken, []byte("other"), 0o644)); err != nil {
				t.Fatal(err)
			}
			before := list(t, images)
			_, err := Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{Images: images})
			if !errors.Is(err, ErrImageExists) || !errors.Is(err, ErrExists) || !strings.HasPrefix(err.Error(), taken+": ") {
				t.Errorf("form %s, %s: %v", formName, name, err)
			}
			if list(t, images) != before || list(t, dir) != "" {
				t.Errorf("form %s, %s: left %s and %s", formName, name, list(t, images), list(t, dir))
			}
		}
		dir, images := t.TempDir(), t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err = Unpack(t.Context(), bytes.NewReader(b), dir, UnpackOptions{Images: images, Name: "n"})
		if !errors.Is(err, ErrExists) || errors.Is(err, ErrImageExists) {
			t.Errorf("form %s: %v", formName, err)
		}
		if list(t, images) != "" || list(t, dir) != "n" {
			t.Errorf("form %s: left %s and %s", formName, list(t, images), list(t, dir))
		}
	}
}

// The files are just those of the image that the snapshot stands on.
func TestHostileImage(t *testing.T) {
	all := entries(t, withImage(t, form06.Form))
	if len(all) != 7 {
		t.Fatalf("%d entries", len(all))
	}
	for _, e := range all[2:6] {
		flipped := withImage(t, form06.Form)
		for _, f := range entries(t, flipped) {
			if f.Name == e.Name {
				flipped[f.body+20] ^= 1
			}
		}
		refuse(t, e.Name, flipped, e.Name)
	}
	inventory := func(change func(v *form06.Inventory)) *entry { return reencode(t, all[6], change) }
	drop := func(name string) *entry {
		return inventory(func(v *form06.Inventory) {
			for i := range v.Entries {
				if v.Entries[i].Path == name {
					v.Entries = append(v.Entries[:i], v.Entries[i+1:]...)
					return
				}
			}
		})
	}
	var others []*entry
	for n := range 4 {
		e := all[2+n]
		others = nil
		for _, o := range all[:6] {
			if o != e {
				others = append(others, o)
			}
		}
		refuse(t, "without "+e.Name, archiveOf(t, append(others, drop(e.Name))...), e.Name)
	}
	extra := &entry{Member: archive.Member{Name: imagefiles.LayerName(digest.FromString("x")), Size: 1, Stored: 1}, kind: form06.KindObject, data: []byte("x")}
	refuse(t, "one more", archiveOf(t, append(append([]*entry{}, all[:6]...), extra)...), extra.Name+" is not a file of the image")

	// The image of another manifest.
	snap := entries(t, pack(t, makeDisk(t, 8192, pattern(8192), 0), plain))
	refuse(t, "another image", archiveOf(t, append(snap[:2], all[2:6]...)...), "stands on")
}
