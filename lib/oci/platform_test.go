package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/platform"
)

// everywhere opens the image d of p, the only one there, from every kind of file,
// and labelled as in an index.
func everywhere(t *testing.T, p *ocitest.Pack, ti ocitest.Image, d manifest.Descriptor, opts Options, check func(t *testing.T, img *Image, err error)) {
	bare := d
	bare.Platform = nil
	layout := func(d manifest.Descriptor) string { return "oci:" + p.Index(d).Dir(t) }
	docker := filepath.Join(t.TempDir(), "docker.tar")
	must(t, os.WriteFile(docker, ocitest.NewPack().DockerSave(t, ti, "x:y").Tar(t), 0o666))
	oci := filepath.Join(t.TempDir(), "oci.tar")
	must(t, os.WriteFile(oci, p.Index(bare).Tar(t), 0o666))
	index := p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: []manifest.Descriptor{bare}})
	for name, ref := range map[string]string{
		"layout":           layout(bare),
		"labelled layout":  layout(d),
		"unlabelled index": layout(index),
		"archive":          "oci-archive:" + oci,
		"docker archive":   "docker-archive:" + docker,
	} {
		t.Run(name, func(t *testing.T) {
			img, err := Open(ctx, ref, opts)
			if err == nil {
				defer img.Close()
			}
			check(t, img, err)
		})
	}
}

// TestOtherPlatform opens an image that is the only one and not for the wanted platform:
// that is an error if the user asked for a platform, unless another is allowed.
func TestOtherPlatform(t *testing.T) {
	of := func(arch, variant string) platform.Platform {
		return platform.Platform{OS: "linux", Architecture: arch, Variant: variant}
	}
	for _, c := range []struct {
		asked string
		have  platform.Platform
		ok    bool
	}{
		{"linux/arm64", of("amd64", ""), false},
		{"windows/amd64", of("amd64", ""), false},
		{"linux/arm/v6", of("arm", "v7"), false},
		{"linux/arm64", of("arm64", "v8"), true},
		{"linux/arm64/v9", of("arm64", ""), true},
		{"linux/arm/v7", of("arm", "v6"), true},
		{"linux/amd64", of("386", ""), true},
		{"linux/arm/v6", of("arm", ""), true},       // older builders left the variant out
		{"linux/arm/v6", platform.Platform{}, true}, // it does not say
		{"", of("s390x", ""), true},                 // nobody asked
		{"", of("amd64", "v3"), true},
	} {
		ti := ocitest.Simple(t)
		ti.Platform, ti.Compression = c.have, ""
		p := ocitest.NewPack()
		d := p.Image(t, ti)
		t.Run(fmt.Sprintf("%s for %s", c.have, c.asked), func(t *testing.T) {
			everywhere(t, p, ti, d, Options{Platform: c.asked, Warn: func(m string) { t.Errorf("warning %q", m) }}, func(t *testing.T, img *Image, err error) {
				if c.ok {
					must(t, err)
					check(t, ti, img)
					return
				}
				var none *PlatformError
				if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "platform "+c.asked) || !strings.Contains(err.Error(), c.have.String()) ||
					!errors.As(err, &none) || !none.Asked || !none.Sole {
					t.Errorf("got %v", err)
				}
			})
			if c.ok {
				return
			}
			warned := 0
			everywhere(t, p, ti, d, Options{Platform: c.asked, AllowOtherPlatform: true, Warn: func(string) { warned++ }}, func(t *testing.T, img *Image, err error) {
				must(t, err)
				check(t, ti, img)
				if warned != 1 {
					t.Errorf("%d warnings", warned)
				}
				warned = 0
			})
		})
	}
}

// TestOtherPlatformInIndex: an image of an index is taken for another platform only if it
// is the only one.
func TestOtherPlatformInIndex(t *testing.T) {
	p := ocitest.NewPack()
	of := func(arch string) manifest.Descriptor {
		ti := ocitest.Simple(t)
		ti.Platform = platform.Platform{OS: "linux", Architecture: arch}
		return p.Image(t, ti)
	}
	a, b := of("riscv64"), of("s390x")
	index := func(list ...manifest.Descriptor) *ocitest.Pack {
		return p.Index(p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: list}))
	}
	for _, c := range []struct {
		platform string
		list     []manifest.Descriptor
		allow    bool
		ok       bool
		want     PlatformError
	}{
		{"linux/mips", []manifest.Descriptor{a}, true, true, PlatformError{}},
		{"linux/mips", []manifest.Descriptor{a}, false, false, PlatformError{Asked: true, Sole: true, Available: []string{"linux/riscv64"}}},
		{"", []manifest.Descriptor{a}, false, false, PlatformError{Sole: true, Available: []string{"linux/riscv64"}}},
		{"linux/mips", []manifest.Descriptor{a, b}, true, false, PlatformError{Asked: true, Available: []string{"linux/riscv64", "linux/s390x"}}},
	} {
		img, err := openLayout(ctx, packed{index(c.list...)}, selector{}, Options{Platform: c.platform, AllowOtherPlatform: c.allow})
		if c.ok {
			must(t, err)
			if img.Digest != c.list[0].Digest {
				t.Errorf("%+v: got %s", c, img.Digest)
			}
			continue
		}
		var got *PlatformError
		if !errors.Is(err, ErrNotFound) || !errors.As(err, &got) || got.Asked != c.want.Asked || got.Sole != c.want.Sole || !slices.Equal(got.Available, c.want.Available) {
			t.Errorf("%+v: got %v, %+v", c, err, got)
		}
	}
	wrong := b
	wrong.Platform = a.Platform
	warned := ""
	img, err := openLayout(ctx, packed{index(a, wrong)}, selector{}, Options{Platform: "linux/riscv64", Warn: func(m string) { warned = m }})
	must(t, err)
	if img.Digest != a.Digest || warned != "" {
		t.Errorf("got %s, warning %q", img.Digest, warned)
	}
	if _, err = openLayout(ctx, packed{index(wrong, a)}, selector{}, Options{Platform: "linux/riscv64", Warn: func(m string) { warned = m }}); err != nil || !strings.Contains(warned, "s390x") {
		t.Errorf("a label that the configuration contradicts: %v, warning %q", err, warned)
	}
}

// TestFeatures: what an index says of the operating system decides too.
func TestFeatures(t *testing.T) {
	p := ocitest.NewPack()
	of := func(name string, plat platform.Platform) manifest.Descriptor {
		d := p.Image(t, ocitest.Image{Platform: ocitest.AMD64, Layers: [][]byte{ocitest.Layer(t, name, "")}})
		d.Platform = &plat
		return d
	}
	plain := of("plain", ocitest.AMD64)
	erofs := of("erofs", platform.Platform{OS: "linux", Architecture: "amd64", OSFeatures: []string{"erofs"}})
	both := of("both", platform.Platform{OS: "linux", Architecture: "amd64", OSFeatures: []string{"erofs", "x"}})
	old := of("old", platform.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.17763.1"})
	recent := of("recent", platform.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.2", OSFeatures: []string{"win32k"}})
	for _, c := range []struct {
		platform string
		list     []manifest.Descriptor
		want     manifest.Descriptor
		says     string
	}{
		{"linux/amd64", []manifest.Descriptor{erofs, plain}, plain, ""},
		{"", []manifest.Descriptor{erofs, plain}, plain, ""},
		{"linux/amd64", []manifest.Descriptor{both, erofs}, manifest.Descriptor{}, "platform linux/amd64: not found: available: linux(+erofs)/amd64, linux(+erofs+x)/amd64"},
		{"linux/amd64", []manifest.Descriptor{erofs}, manifest.Descriptor{}, "available: linux(+erofs)/amd64"},
		{"linux(+erofs)/amd64", []manifest.Descriptor{both, plain, erofs}, erofs, ""},
		{"linux(+x+erofs)/amd64", []manifest.Descriptor{plain, erofs, both}, both, ""},
		{"linux(+erofs)/amd64", []manifest.Descriptor{plain}, plain, ""},
		{"windows/amd64", []manifest.Descriptor{recent, old}, old, ""},
		{"windows(10.0.20348+win32k)/amd64", []manifest.Descriptor{old, recent}, recent, ""},
		{"windows(10.0.1)/amd64", []manifest.Descriptor{old, recent}, manifest.Descriptor{}, "windows(10.0.1)/amd64: not found: available: windows(10.0.17763.1)/amd64, windows(10.0.20348.2+win32k)/amd64"},
	} {
		if c.platform == "" && runtime.GOARCH != "amd64" {
			continue
		}
		index := p.JSON(types.OCIImageIndex, manifest.Document{SchemaVersion: 2, Manifests: c.list})
		for _, top := range [][]manifest.Descriptor{{index}, append(c.list, index)} {
			img, err := openLayout(ctx, packed{p.Index(top...)}, selector{}, Options{Platform: c.platform})
			switch {
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%s: got %v, want %q", c.platform, err, c.says)
			case c.says == "" && err != nil:
				t.Errorf("%s: %v", c.platform, err)
			case c.says == "" && img.Digest != c.want.Digest:
				t.Errorf("%s: another image", c.platform)
			}
		}
	}
}
