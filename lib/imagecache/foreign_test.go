package imagecache

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/erofs/disk"
)

// TestVerifyForeign: the rules of this version are not those of another one, but what a
// record says, and the forms of files, are.
func TestVerifyForeign(t *testing.T) {
	const text = "EROFS or not"
	rec := func(data string) string {
		b, _ := json.Marshal(record{digest.FromString(data), int64(len(data)), "erofs", []digest.Digest{diffID(1)}})
		return string(b)
	}
	set := func(off int64, value uint32) func(b []byte) []byte {
		return func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[disk.SuperOffset+off:], value)
			return b
		}
	}
	s := open(t, t.TempDir())
	b := build(t, s, "a", 1)
	file := func(name string) string {
		data, err := os.ReadFile(filepath.Join(s.Dir(), name))
		must(t, err)
		return string(data)
	}
	layer, desc := file(b.layers[0]), file(b.vmdk)
	for _, c := range []struct {
		name, kind, ext, data, record, want string
	}{
		{"layer", "layers", "erofs", layer, "", ""},
		{"layer with another UUID", "layers", "erofs", layer[:len(layer)-1] + "\x01", "", ""},
		{"layer with unknown features", "layers", "erofs", string(set(80, 1<<30)([]byte(layer))), "", ""},
		{"layer that is cut short", "layers", "erofs", layer[:len(layer)-1], "", "cut short"},
		{"layer with a damaged superblock", "layers", "erofs", string(set(36, 5)([]byte(layer))), "", "checksum"},
		{"layer that is no image", "layers", "erofs", text, "", "too few for a superblock"},
		{"layer in another form", "layers", "zst", text, "", ""},
		{"flat image with its record", "rootfs", "erofs", text, rec(text), ""},
		{"flat image with another record", "rootfs", "erofs", text, rec("EROFS or yes"), "damaged: its digest is"},
		{"flat image cut short", "rootfs", "erofs", text, rec(text + "!"), "according to its record"},
		{"record in another form", "rootfs", "ext4", text, "[5]", ""},
		{"merged image with its record", "fsmeta", "erofs", text, rec(text), ""},
		{"merged image without one", "fsmeta", "erofs", text, "", ""},
		{"disk", "vmdk", "vmdk", desc, "", ""},
		{"disk with a CID of its own", "vmdk", "vmdk", otherCID(desc), "", ""},
		{"disk without an extent", "vmdk", "vmdk", strings.ReplaceAll(desc, diffID(1).Encoded(), diffID(3).Encoded()), "", "no such file"},
	} {
		a := cas.Artifact{Kind: c.kind, ABI: "0.9", Key: digest.FromString("key"), Ext: c.ext}
		name := makeFile(t, s, a, c.data)
		names := []string{name}
		if c.record != "" {
			a.Ext = "json"
			names = append(names, makeFile(t, s, a, c.record))
		}
		var want []string
		if c.want != "" {
			want = []string{name + ": " + c.want}
		}
		t.Run(c.name, func(t *testing.T) { wantFaults(t, verify(t, s, VerifyOptions{}), want...) })
		for _, name := range names {
			must(t, os.Remove(filepath.Join(s.Dir(), name)))
		}
	}
}

// otherCID changes the CID of a descriptor.
func otherCID(desc string) string {
	before, after, _ := strings.Cut(desc, "\nCID=")
	return before + "\nCID=12345678" + after[8:]
}
