package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"ocipipe/lib/platform"
)

// everywhere opens the image d of p, the only one there, from every kind of source,
// and labelled as in an index.
func everywhere(t *testing.T, p *pack, ti testImage, d descriptor, opts Options, check func(t *testing.T, img *Image, err error)) {
	bare := d
	bare.Platform = nil
	layout := func(d descriptor) string { return "oci:" + p.index(d).dir(t) }
	docker := filepath.Join(t.TempDir(), "docker.tar")
	must(t, os.WriteFile(docker, newPack().dockerSave(t, ti, "x:y").tar(t), 0o666))
	oci := filepath.Join(t.TempDir(), "oci.tar")
	must(t, os.WriteFile(oci, p.index(bare).tar(t), 0o666))
	index := p.json(types.OCIImageIndex, document{SchemaVersion: 2, Manifests: []descriptor{bare}})
	for name, ref := range map[string]string{
		"layout":             layout(bare),
		"labelled layout":    layout(d),
		"unlabelled index":   layout(index),
		"archive":            "oci-archive:" + oci,
		"docker archive":     "docker-archive:" + docker,
		"registry":           fakeRegistry(t, p, bare, nil) + "/r:v1",
		"registry, by index": fakeRegistry(t, p, index, nil) + "/r:v1",
	} {
		t.Run(name, func(t *testing.T) {
			o := opts
			o.Registry = linux.Registry
			img, err := Open(ctx, ref, o)
			if err == nil {
				defer img.Close()
			}
			check(t, img, err)
		})
	}
}

// TestOtherPlatform shows what becomes of an only image that is not for the wanted
// platform: it is refused where one was asked for, unless that is allowed.
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
		ti := simple(t)
		ti.plat, ti.compress = c.have, ""
		p := newPack()
		d := p.image(t, ti)
		t.Run(fmt.Sprintf("%s for %s", c.have, c.asked), func(t *testing.T) {
			everywhere(t, p, ti, d, Options{Platform: c.asked, Warn: func(m string) { t.Errorf("warning %q", m) }}, func(t *testing.T, img *Image, err error) {
				if c.ok {
					must(t, err)
					ti.check(t, img)
					return
				}
				var h *hintError
				if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "platform "+c.asked) || !strings.Contains(err.Error(), c.have.String()) ||
					!errors.As(err, &h) || !strings.Contains(h.hint, "--allow-other-platform") {
					t.Errorf("got %v", err)
				}
			})
			if c.ok {
				return
			}
			warned := 0
			everywhere(t, p, ti, d, Options{Platform: c.asked, AllowOtherPlatform: true, Warn: func(string) { warned++ }}, func(t *testing.T, img *Image, err error) {
				must(t, err)
				ti.check(t, img)
				if warned != 1 {
					t.Errorf("%d warnings", warned)
				}
				warned = 0
			})
		})
	}
}

// TestOtherPlatformInIndex: of an index only the sole image can be meant.
func TestOtherPlatformInIndex(t *testing.T) {
	p := newPack()
	of := func(arch string) descriptor {
		ti := simple(t)
		ti.plat = platform.Platform{OS: "linux", Architecture: arch}
		return p.image(t, ti)
	}
	a, b := of("riscv64"), of("s390x")
	index := func(list ...descriptor) *pack {
		return p.index(p.json(types.OCIImageIndex, document{SchemaVersion: 2, Manifests: list}))
	}
	for _, c := range []struct {
		platform string
		list     []descriptor
		allow    bool
		ok       bool
		hint     string
	}{
		{"linux/mips", []descriptor{a}, true, true, ""},
		{"linux/mips", []descriptor{a}, false, false, "--allow-other-platform"},
		{"", []descriptor{a}, false, false, "--platform linux/riscv64"},
		{"linux/mips", []descriptor{a, b}, true, false, ""},
	} {
		img, err := openLayout(ctx, index(c.list...), selector{}, Options{Platform: c.platform, AllowOtherPlatform: c.allow})
		if c.ok {
			must(t, err)
			if img.Digest != c.list[0].Digest {
				t.Errorf("%+v: got %s", c, img.Digest)
			}
			continue
		}
		var h *hintError
		if !errors.Is(err, ErrNotFound) || errors.As(err, &h) != (c.hint != "") || h != nil && !strings.Contains(h.hint, c.hint) {
			t.Errorf("%+v: got %v, %v", c, err, h)
		}
	}
	wrong := b
	wrong.Platform = a.Platform
	warned := ""
	img, err := openLayout(ctx, index(a, wrong), selector{}, Options{Platform: "linux/riscv64", Warn: func(m string) { warned = m }})
	must(t, err)
	if img.Digest != a.Digest || warned != "" {
		t.Errorf("got %s, warning %q", img.Digest, warned)
	}
	if _, err = openLayout(ctx, index(wrong, a), selector{}, Options{Platform: "linux/riscv64", Warn: func(m string) { warned = m }}); err != nil || !strings.Contains(warned, "s390x") {
		t.Errorf("a label that the configuration contradicts: %v, warning %q", err, warned)
	}
}

// TestFeatures: what an index says of the operating system decides too.
func TestFeatures(t *testing.T) {
	p := newPack()
	of := func(name string, plat platform.Platform) descriptor {
		d := p.image(t, testImage{plat: amd64, layers: [][]byte{layerTar(t, name, "")}})
		d.Platform = &plat
		return d
	}
	plain := of("plain", amd64)
	erofs := of("erofs", platform.Platform{OS: "linux", Architecture: "amd64", OSFeatures: []string{"erofs"}})
	both := of("both", platform.Platform{OS: "linux", Architecture: "amd64", OSFeatures: []string{"erofs", "x"}})
	old := of("old", platform.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.17763.1"})
	recent := of("recent", platform.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.2", OSFeatures: []string{"win32k"}})
	for _, c := range []struct {
		platform string
		list     []descriptor
		want     descriptor
		says     string
	}{
		{"linux/amd64", []descriptor{erofs, plain}, plain, ""},
		{"", []descriptor{erofs, plain}, plain, ""},
		{"linux/amd64", []descriptor{both, erofs}, descriptor{}, "platform linux/amd64: not found: available: linux(+erofs)/amd64, linux(+erofs+x)/amd64"},
		{"linux/amd64", []descriptor{erofs}, descriptor{}, "available: linux(+erofs)/amd64"},
		{"linux(+erofs)/amd64", []descriptor{both, plain, erofs}, erofs, ""},
		{"linux(+x+erofs)/amd64", []descriptor{plain, erofs, both}, both, ""},
		{"linux(+erofs)/amd64", []descriptor{plain}, plain, ""},
		{"windows/amd64", []descriptor{recent, old}, old, ""},
		{"windows(10.0.20348+win32k)/amd64", []descriptor{old, recent}, recent, ""},
		{"windows(10.0.1)/amd64", []descriptor{old, recent}, descriptor{}, "windows(10.0.1)/amd64: not found: available: windows(10.0.17763.1)/amd64, windows(10.0.20348.2+win32k)/amd64"},
	} {
		if c.platform == "" && runtime.GOARCH != "amd64" {
			continue
		}
		index := p.json(types.OCIImageIndex, document{SchemaVersion: 2, Manifests: c.list})
		for _, top := range [][]descriptor{{index}, append(c.list, index)} {
			img, err := openLayout(ctx, p.index(top...), selector{}, Options{Platform: c.platform})
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
