package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"ocipipe/lib/reftest"
)

// TestInteropImages takes each image through the whole pipeline. The tree that umoci
// unpacks must be in the mounted image, in the tree stream, and after a way back through
// erofs2tree and tree2tar.
func TestInteropImages(t *testing.T) {
	for _, c := range []struct {
		name    string
		layers  int
		overlay bool // the layers state every directory
		long    bool
	}{
		{"busybox", 2, false, false},
		{"debian", 3, true, false},
		{"npm-small", 1, true, false},
		{"npm", 1, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				reftest.Long(t)
			}
			layout := filepath.Join(realImage(t, c.name), "oci")
			dir := t.TempDir()
			shell(t, dir, fmt.Sprintf("oci-fetch oci:%s:image | tar2tree | tree2erofs --check > rootfs.erofs", layout))
			want := unpacked(t, layout, dir)

			t.Run("stream", func(t *testing.T) {
				reftest.Compare(t, want, facts(t, dir, fmt.Sprintf("oci-fetch oci:%s:image | tar2tree", layout)))
			})
			t.Run("reader", func(t *testing.T) {
				reftest.Compare(t, want, facts(t, dir, "erofs2tree rootfs.erofs"))
			})
			t.Run("back", func(t *testing.T) {
				reftest.Compare(t, want, facts(t, dir, "erofs2tree rootfs.erofs | tree2tar -z gzip | tar2tree"))
			})
			t.Run("listing", func(t *testing.T) {
				shell(t, dir, fmt.Sprintf("cmp <(oci-fetch oci:%s:image | tar2tree --no-data --digest) <(erofs2tree --no-data --digest rootfs.erofs)", layout))
			})
			t.Run("fsck", func(t *testing.T) {
				reftest.Need(t, "fsck.erofs")
				shell(t, dir, "fsck.erofs rootfs.erofs") // which says nothing of a good image
			})
			t.Run("kernel", func(t *testing.T) {
				mounted := reftest.Mount(t, "erofs", filepath.Join(dir, "rootfs.erofs"), "")
				reftest.Compare(t, want, reftest.Walk(t, mounted, reftest.Look{}))
			})
			t.Run("ext4", func(t *testing.T) {
				compareExt4(t, fmt.Sprintf("oci-fetch oci:%s:image | tar2tree", layout), dir, want)
			})
			if c.overlay {
				t.Run("overlay", func(t *testing.T) {
					reftest.Compare(t, want, stacked(t, layout, dir, c.layers))
				})
			}
		})
	}
}

// compareExt4 makes root file systems of what the line streams, one with room and
// one as small as can be.
func compareExt4(t *testing.T, line, dir string, want []reftest.Fact) {
	t.Helper()
	for _, flags := range []string{"--check", "--shrink --journal none"} {
		shell(t, dir, fmt.Sprintf("%s | tree2ext4 %s > rootfs.ext4", line, flags))
		out, err := reftest.Try(t, "e2fsck", "-fn", filepath.Join(dir, "rootfs.ext4"))
		if err != nil || regexp.MustCompile(`\?|IGNORED|differences|WARNING`).MatchString(out) {
			t.Errorf("%s: e2fsck: %v\n%s", flags, err, out)
		}
		got := reftest.Walk(t, reftest.Mount(t, "ext4", filepath.Join(dir, "rootfs.ext4"), "noload"), reftest.Look{})
		got = slices.DeleteFunc(got, func(f reftest.Fact) bool { return f.Path == "lost+found" })
		reftest.Compare(t, want, got)
		if err := os.Remove(filepath.Join(dir, "rootfs.ext4")); err != nil {
			t.Fatal(err)
		}
	}
}

// unpacked is what umoci makes of the image. It must run as root, to set owners
// and make devices.
func unpacked(t *testing.T, layout, dir string) []reftest.Fact {
	t.Helper()
	reftest.NeedRoot(t)
	bundle := filepath.Join(dir, "bundle")
	defer os.RemoveAll(bundle)
	reftest.Run(t, "umoci", "unpack", "--image", layout+":image", bundle)
	return reftest.Walk(t, filepath.Join(bundle, "rootfs"), reftest.Look{})
}

// stacked mounts each layer as an image of its own and has overlayfs merge them.
func stacked(t *testing.T, layout, dir string, layers int) []reftest.Fact {
	t.Helper()
	var mounts []string
	for i := range layers {
		image := fmt.Sprintf("layer%d.erofs", i)
		shell(t, dir, fmt.Sprintf("oci-fetch oci:%s:image --layer %d | tar2tree | tree2erofs --layer > %s", layout, i, image))
		mounts = append(mounts, reftest.Mount(t, "erofs", filepath.Join(dir, image), ""))
	}
	return reftest.Walk(t, reftest.Overlay(t, mounts...), reftest.Look{})
}

// TestInteropLayers does the same with single layers of odd shapes. GNU tar lists what they
// hold.
func TestInteropLayers(t *testing.T) {
	reftest.Long(t)
	reftest.NeedRoot(t)
	for _, name := range []string{"sparse", "onedir", "large"} {
		t.Run(name, func(t *testing.T) {
			layer := filepath.Join(realImage(t, name), "layer.tar")
			dir := t.TempDir()
			reftest.Run(t, "mkdir", filepath.Join(dir, "root"))
			reftest.Run(t, "tar", "-C", filepath.Join(dir, "root"), "--numeric-owner", "-xpf", layer)
			want := reftest.Walk(t, filepath.Join(dir, "root"), reftest.Look{})
			reftest.Compare(t, want, facts(t, dir, fmt.Sprintf("tar2tree < %s", layer)))
			compareExt4(t, "tar2tree < "+layer, dir, want)
			for _, flags := range []string{"", "--layer"} {
				shell(t, dir, fmt.Sprintf("tar2tree < %s | tree2erofs %s > image.erofs", layer, flags))
				shell(t, dir, "fsck.erofs image.erofs")
				mounted := reftest.Mount(t, "erofs", filepath.Join(dir, "image.erofs"), "")
				reftest.Compare(t, want, reftest.Walk(t, mounted, reftest.Look{}))
				reftest.Compare(t, want, facts(t, dir, "erofs2tree image.erofs"))
				if err := os.Remove(filepath.Join(dir, "image.erofs")); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
