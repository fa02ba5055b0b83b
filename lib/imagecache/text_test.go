package imagecache

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/printable"
)

var (
	day  = time.Unix(1e9, 0)
	dA   = digest.Digest("sha256:" + strings.Repeat("a", 64))
	dB   = digest.Digest("sha256:" + strings.Repeat("b", 64))
	many = []Image{
		{Name: "r.io/a:1", Manifest: dA, Platform: "linux/amd64", LastUsed: &day, Size: 5 << 20, Alone: 1000, Layers: make([]Layer, 3)},
		{Name: dB.String(), Manifest: dB, Size: 1 << 40, Dropped: true},
		{Name: "evil\x1b[31m\n:1", Manifest: dA, Platform: "\u202ex/y", Problems: []string{"manifest \x1b is missing"}},
	}
)

func wantText(t *testing.T, got *strings.Builder, err error, want string) {
	t.Helper()
	if err != nil || got.String() != want {
		t.Errorf("%v\n%swant\n%s", err, got, want)
	}
}

func TestWriteListing(t *testing.T) {
	var b strings.Builder
	err := WriteListing(&b, Listing{Cache: "/c\x07", Size: 1 << 30, Unheld: 1, Images: many}, day.Add(3*time.Hour))
	wantText(t, &b, err, `NAME                 MANIFEST      PLATFORM     LAYERS  SIZE     ALONE   LAST USED
r.io/a:1             aaaaaaaaaaaa  linux/amd64  3       5.0 MiB  1000 B  3 hours ago
sha256:bbbbbbbbbbbb  bbbbbbbbbbbb  -            0       1.0 TiB  0 B     -            without compressed layers
evil [31m :1         aaaaaaaaaaaa   x/y         0       0 B      0 B     -            not complete
3 images, 1.0 GiB in /c ; 1 B of it needed by none
`)
	b.Reset()
	err = WriteListing(&b, Listing{Cache: "/c"}, day)
	wantText(t, &b, err, "0 images, 0 B in /c; 0 B of it needed by none\n")
}

func TestWriteImages(t *testing.T) {
	im := many[0]
	im.Index, im.Config = dB, dA
	im.Layers = []Layer{
		{Digest: dA, DiffID: dB, Size: 2048, Blob: true, Images: []File{{"layers/1/sha256/" + dB.Encoded() + ".erofs", 1}, {"layers/1/sha256/" + dB.Encoded() + "-z1-lz4-64k.erofs", 1 << 20}}, Shared: 2},
		{Digest: dB, Size: 10},
	}
	im.Artifacts = []File{{"vmdk/1/x\x1b", 510}}
	var b strings.Builder
	err := WriteImages(&b, []Image{im, many[2]}, 0)
	wantText(t, &b, err, `name       r.io/a:1
manifest   `+dA.String()+`
index      `+dB.String()+`
config     `+dA.String()+`
platform   linux/amd64
last used  2001-09-09T01:46:40Z
size       5.0 MiB, 1000 B of it for this image alone

LAYER  SIZE     BLOB     IMAGES                   SHARED BY  DIGEST                                                                   DIFF-ID
0      2.0 KiB  here     1 B, 1.0 MiB z1-lz4-64k  2          `+dA.String()+"  "+dB.String()+`
1      10 B     missing  -                        0          `+dB.String()+`  -

SIZE   FILE
510 B  vmdk/1/x

name      evil [31m :1
manifest  `+dA.String()+`
platform   x/y
size      0 B, 0 B of it for this image alone
problem   manifest   is missing
`)
	var whole, fits, cut strings.Builder
	err = WriteImages(&whole, []Image{im}, 0)
	columns := printable.Width([]byte(whole.String()))
	err = errors.Join(err, WriteImages(&fits, []Image{im}, columns), WriteImages(&cut, []Image{im}, columns-1))
	wantText(t, &fits, err, whole.String())
	wantText(t, &cut, err, strings.NewReplacer(
		"DIGEST"+strings.Repeat(" ", len(dA)-len("DIGEST")), "DIGEST             ",
		"  "+dA.String()+"  "+dB.String()+"\n", "  sha256:aaaaaaaaaaaa  sha256:bbbbbbbbbbbb\n",
		"  "+dB.String()+"  -\n", "  sha256:bbbbbbbbbbbb  -\n").Replace(whole.String()))
}

func TestWriteReport(t *testing.T) {
	var b strings.Builder
	err := WriteReport(&b, Report{Images: []Removed{{Name: "a\x1b", Manifest: dA}, {Manifest: dB}}, Files: []File{{"x", 1}}, Freed: 1 << 20, Size: 1, InUse: 1})
	wantText(t, &b, err, "removed a  aaaaaaaaaaaa\nremoved sha256:bbbbbbbbbbbb bbbbbbbbbbbb\nfreed 1.0 MiB in 1 file; 1 B left, 1 B only because it is in use\n")
	b.Reset()
	err = WriteReport(&b, Report{Size: 1500})
	wantText(t, &b, err, "freed 0 B in 0 files; 1.5 KiB left\n")
}

func TestWriteVerification(t *testing.T) {
	var b strings.Builder
	err := WriteVerification(&b, Verification{Files: 2, Bytes: 3, Faults: []Fault{{"blobs/x", "is\x1b bad", ""}, {"y", "z", "removed"}}, Foreign: []string{"a\nb"}})
	wantText(t, &b, err, "blobs/x: is  bad\ny: z (removed)\na b: not of the cache, left alone\nverified 2 files, 3 B: 2 faults\n")
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "in the future", 0: "just now", time.Minute: "1 minute ago", 119 * time.Minute: "1 hour ago", 47 * time.Hour: "47 hours ago", 49 * time.Hour: "2 days ago",
	} {
		if got := ago(&day, day.Add(d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// TestWriteFails: each writer returns the error of its output.
func TestWriteFails(t *testing.T) {
	w := full{}
	for i, err := range []error{
		WriteListing(w, Listing{Images: many}, day), WriteImages(w, many, 0), WriteReport(w, Report{Images: []Removed{{Manifest: dA}}}), WriteVerification(w, Verification{Faults: []Fault{{}}}),
		WriteVerification(w, Verification{Foreign: []string{"x"}}), WriteVerification(w, Verification{}), WriteReport(w, Report{}),
	} {
		if !errors.Is(err, errFull) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
