package layer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layer"
	"ocipipe/lib/tree"
)

// readAll reads a layer to its end.
func readAll(t testing.TB, data []byte, opts layer.Options) (text string, err error) {
	t.Helper()
	return readFrom(t, bytes.NewReader(data), opts)
}

func readFrom(t testing.TB, in io.Reader, opts layer.Options) (text string, err error) {
	t.Helper()
	r, err := layer.NewReader(in, opts)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var b strings.Builder
	for {
		e, err := r.Next()
		if err == io.EOF {
			if _, again := r.Next(); again != io.EOF {
				t.Errorf("Next after the end: %v", again)
			}
			return b.String(), nil
		}
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("Next after the error %v: %v", err, again)
			}
			return b.String(), err
		}
		fmt.Fprintf(&b, "%s %s", e.Path, attributes(e))
		if e.Hardlink != "" {
			fmt.Fprintf(&b, " = %s", e.Hardlink)
		} else if e.Content != nil {
			var data bytes.Buffer
			if _, err := e.Content.WriteTo(&data); err != nil {
				return b.String(), err
			}
			fmt.Fprintf(&b, " %q", data.String())
		}
		b.WriteString(lowerText(e))
		if e.NoChange {
			b.WriteString(" nochange")
		}
		b.WriteByte('\n')
	}
}

func TestHeaders(t *testing.T) {
	long := strings.Repeat("d/", 120) + strings.Repeat("n", 60)
	longLink := strings.Repeat("../", 200) + "x"
	for _, c := range []struct {
		name    string
		headers []raw
		want    string
	}{
		{"ustar", []raw{{name: "a", mode: "0000644\x00", uid: "0001750\x00", gid: "0000062\x00", mtime: "14000000000\x00", data: "hi"}},
			"a file 0644 1000 50 1610612736.000000000 size=2 \"hi\""},
		{"ustar prefix", []raw{{prefix: "p/q", name: "a"}}, "p/q/a file 0000 0 0 0.000000000 size=0"},
		{"prefix of 155 bytes", []raw{{prefix: strings.Repeat("p", 155), name: strings.Repeat("a", 100)}},
			strings.Repeat("p", 155) + "/" + strings.Repeat("a", 100) + " file 0000 0 0 0.000000000 size=0"},
		{"star has a shorter prefix, then times", []raw{{prefix: "p\x00" + strings.Repeat("\x00", 129) + "14000000000 14000000000 ", name: "a", tail: "tar\x00"}},
			"p/a file 0000 0 0 0.000000000 size=0"},
		{"star with a prefix that fills its field", []raw{{prefix: strings.Repeat("p", 131) + "14000000000 14000000000 ", name: "a", tail: "tar\x00"}},
			strings.Repeat("p", 131) + "/a file 0000 0 0 0.000000000 size=0"},
		{"V7 file and directory", []raw{{kind: 'V', name: "a", data: "x"}, {kind: 'V', name: "d/"}},
			"a file 0000 0 0 0.000000000 size=1 \"x\"\nd dir 0000 0 0 0.000000000"},
		{"old GNU: what stands at the prefix is none", []raw{{magic: "ustar  \x00", prefix: "14000000000", name: "a"}},
			"a file 0000 0 0 0.000000000 size=0"},
		{"contiguous file", []raw{{kind: '7', name: "a", data: "x"}}, "a file 0000 0 0 0.000000000 size=1 \"x\""},
		{"numbers with spaces and without end", []raw{{name: "a", mode: "   644 \x00", uid: "12345670", gid: " 17", size: "          1 ", data: "y"}},
			"a file 0644 2739128 15 0.000000000 size=1 \"y\""},
		{"mode with type bits", []raw{{name: "a", mode: "0104755\x00"}}, "a file 4755 0 0 0.000000000 size=0"},
		{"signed checksum", []raw{{name: "\xff\xfe", signed: true}}, "\xff\xfe file 0000 0 0 0.000000000 size=0"},
		{"base 256", []raw{{name: "a", uid: base256(4000000000, 8), gid: base256(65536, 8), size: base256(3, 12), mtime: base256(-1, 12), data: "abc"}},
			"a file 0000 4000000000 65536 -1.000000000 size=3 \"abc\""},
		{"largest owner", []raw{{name: "a", uid: base256(math.MaxUint32-1, 8)}}, "a file 0000 4294967294 0 0.000000000 size=0"},
		{"far times", []raw{{name: "a", mtime: base256(math.MinInt64, 12)}, {name: "b", mtime: base256(math.MaxInt64, 12)}},
			"a file 0000 0 0 -9223372036854775808.000000000 size=0\nb file 0000 0 0 9223372036854775807.000000000 size=0"},
		{"GNU long name and link", []raw{{kind: 'L', name: "././@LongLink", data: long + "\x00"}, {kind: 'K', name: "././@LongLink", data: longLink + "\x00"}, {kind: '2', name: "short", link: "short"}},
			long + " link 0000 0 0 0.000000000 -> " + longLink},
		{"pax", []raw{pax("path", "ü/"+strings.Repeat("l", 255), "uid", "4000000000", "gid", "70000", "mtime", "-1.5", "size", "1", "comment", "none"), {name: "x", size: "0", data: "z"}},
			"ü/" + strings.Repeat("l", 255) + " file 0000 4000000000 70000 -2.500000000 size=1 \"z\""},
		{"pax, empty values", []raw{pax("path", "", "uid", "", "mtime", ""), {name: "x", uid: "7"}}, "x file 0000 7 0 0.000000000 size=0"},
		{"pax, twice", []raw{pax("uid", "1", "uid", "2"), {name: "x"}}, "x file 0000 2 0 0.000000000 size=0"},
		{"pax for one entry only", []raw{pax("uid", "1"), {name: "x"}, {name: "y"}}, "x file 0000 1 0 0.000000000 size=0\ny file 0000 0 0 0.000000000 size=0"},
		{"pax global", []raw{{kind: 'g', name: "g", data: paxRecord("uid", "7") + paxRecord("path", "no")}, {name: "x"}}, "x file 0000 0 0 0.000000000 size=0"},
		{"pax link", []raw{pax("linkpath", longLink), {kind: '2', name: "s", link: "x"}}, "s link 0000 0 0 0.000000000 -> " + longLink},
		{"devices", []raw{{kind: '3', name: "c", major: "0000005", minor: "0000001"}, {kind: '4', name: "b", major: base256(1<<32-1, 8), minor: "7"}, {kind: '6', name: "p"}},
			"c char 0000 0 0 0.000000000 5:1\nb block 0000 0 0 0.000000000 4294967295:7\np fifo 0000 0 0 0.000000000"},
		{"devices of star", []raw{pax("SCHILY.devmajor", "300", "SCHILY.devminor", "70000"), {kind: '4', name: "b"}}, "b block 0000 0 0 0.000000000 300:70000"},
		{"sizes of what has no data", []raw{{kind: '5', name: "d", size: "00000001000"}, {kind: '2', name: "s", link: "t", size: "00000001000"}, {kind: '1', name: "h", link: "s", size: "00000001000"}},
			"d dir 0000 0 0 0.000000000\ns link 0000 0 0 0.000000000 -> t\nh link 0000 0 0 0.000000000 -> t = s"},
		{"xattrs", []raw{pax("SCHILY.xattr.security.capability", "\x01\x00\x00\x02=\n\x00", "SCHILY.xattr.user.a", "", "LIBARCHIVE.xattr.user.b%3dc", "AAEC", "LIBARCHIVE.xattr.user.d", "/w=="), {name: "x"}},
			"x file 0000 0 0 0.000000000 size=0 security.capability=\"\\x01\\x00\\x00\\x02=\\n\\x00\" user.a=\"\" user.b=c=\"\\x00\\x01\\x02\" user.d=\"\\xff\""},
		{"an xattr in both forms", []raw{pax("LIBARCHIVE.xattr.user.a", "QQ", "SCHILY.xattr.user.a", "B"), {name: "x"}, pax("SCHILY.xattr.user.a", "B", "LIBARCHIVE.xattr.user.a", "QQ"), {name: "y"}},
			"x file 0000 0 0 0.000000000 size=0 user.a=\"B\"\ny file 0000 0 0 0.000000000 size=0 user.a=\"B\""},
		{"xattrs of every type", []raw{pax("SCHILY.xattr.trusted.a", "1"), {kind: '2', name: "s", link: "t"}, pax("SCHILY.xattr.trusted.a", "2"), {kind: '6', name: "p"}, pax("SCHILY.xattr.trusted.a", "3"), {kind: '5', name: "d"}},
			"s link 0000 0 0 0.000000000 -> t trusted.a=\"1\"\np fifo 0000 0 0 0.000000000 trusted.a=\"2\"\nd dir 0000 0 0 0.000000000 trusted.a=\"3\""},
		{"names", []raw{{name: "./a//b/./c"}, {kind: '5', name: "/"}, {kind: '5', name: "./x/"}, {name: "new\nline"}, {name: " "}},
			"a/b/c file 0000 0 0 0.000000000 size=0\n. dir 0000 0 0 0.000000000\nx dir 0000 0 0 0.000000000\nnew\nline file 0000 0 0 0.000000000 size=0\n  file 0000 0 0 0.000000000 size=0"},
		{"a lower link", []raw{{kind: '1', name: "h", link: "./usr//x"}}, "h file 0644 0 0 0.000000000 size=0 lower usr/x"},
		{"links that wait in a chain", []raw{{kind: '1', name: "x", link: "y"}, {kind: '1', name: "y", link: "z"}, {name: "z", uid: "5"}},
			"z file 0000 5 0 0.000000000 size=0\nx file 0000 5 0 0.000000000 size=0 = z below y,z\ny file 0000 5 0 0.000000000 size=0 = z below z"},
		{"marks", []raw{{name: "d/.wh..wh..opq"}, {name: "e/.wh.x"}},
			"d dir 0755 0 0 0.000000000 trusted.overlay.opaque=\"y\" nochange\ne/x char 0000 0 0 0.000000000 0:0"},
		{"nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(t, rawTar(c.headers...), layer.Options{})
			if err != nil || strings.TrimSuffix(got, "\n") != c.want {
				t.Errorf("got\n%s\n%v, want\n%s", got, err, c.want)
			}
		})
	}
}

func TestPaxTimes(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0.000000000", "1.5": "1.500000000", "-1.5": "-2.500000000", "-0.5": "-1.500000000", "-1": "-1.000000000",
		"1.000000001": "1.000000001", "1.0000000019": "1.000000001", "-1.000000001": "-2.999999999",
		"99999999999.25": "99999999999.250000000", "1.": "1.000000000", ".5": "0.500000000", "-.5": "-1.500000000",
		"-9223372036854775808": "-9223372036854775808.000000000",
		"x":                    "error", "1.x": "error", "1.-5": "error", "-": "error", ".": "error", "1 ": "error", "9223372036854775808": "error", "0x10": "error", "-9223372036854775808.5": "error",
	} {
		got, err := readAll(t, rawTar(pax("mtime", text), raw{name: "a"}), layer.Options{})
		if err != nil {
			if want != "error" || !errors.Is(err, layer.ErrCorrupt) {
				t.Errorf("mtime=%s: %v", text, err)
			}
			continue
		}
		if got != "a file 0000 0 0 "+want+" size=0\n" {
			t.Errorf("mtime=%s: %s, want %s", text, got, want)
		}
	}
}

// TestRefused are tars that are wrong, and what is said about each.
func TestRefused(t *testing.T) {
	file := func(r raw) []raw { return []raw{r} }
	for _, c := range []struct {
		name    string
		headers []raw
		want    string
	}{
		{"checksum", []raw{{name: "ok"}, {name: "a", badChecksum: true}}, "corrupt layer: byte 512 of the tar: header checksum does not match"},
		{"size that is no number", file(raw{name: "a", size: "99999999999"}), `byte 0 of the tar: size: "99999999999" is not an octal number`},
		{"negative size", file(raw{name: "a", size: base256(-1, 12)}), "negative size"},
		{"pax size negative", []raw{pax("size", "-1"), {name: "a"}}, "negative size"},
		{"base 256 of more than 64 bits", file(raw{name: "a", size: "\x81\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}), "more than 64 bits"},
		{"uid 2^32-1", file(raw{name: "a", uid: base256(math.MaxUint32, 8)}), "a: corrupt layer: owner 4294967295:0, not within 0 to 4294967294"},
		{"uid negative", file(raw{name: "a", uid: base256(-1, 8)}), "owner -1:0"},
		{"gid over 2^32", []raw{pax("gid", "99999999999"), {name: "a"}}, "owner 0:99999999999"},
		{"pax uid no number", []raw{pax("uid", "root"), {name: "a"}}, `pax record uid: "root" is not a number`},
		{"device over 32 bits", file(raw{kind: '3', name: "a", major: base256(1<<32, 8)}), "device number 4294967296, 0"},
		{"device negative", []raw{pax("SCHILY.devmajor", "-1"), {kind: '3', name: "a"}}, "-1 is not a device number"},
		{"type", file(raw{kind: 'Z', name: "a"}), "a: not supported: tar entry of type 'Z'"},
		{"multi-volume", file(raw{kind: 'M', name: "a"}), "not supported: tar entry of type 'M'"},
		{"volume label", file(raw{kind: 'V' + 1, name: "a"}), "not supported"},
		{"no name", file(raw{name: ""}), `corrupt layer: entry "": empty name`},
		{"..", file(raw{name: "a/../b"}), `corrupt layer: entry "a/../b": path component ".."`},
		{".. first", file(raw{name: "../b"}), `path component ".."`},
		{".. last", file(raw{kind: '5', name: "a/.."}), `path component ".."`},
		{".. in a whiteout", file(raw{name: "../.wh.b"}), `path component ".."`},
		{".. in a hard link", file(raw{kind: '1', name: "h", link: "../etc/passwd"}), `h: corrupt layer: hard link to "../etc/passwd": path component ".."`},
		{"hard link to nothing", file(raw{kind: '1', name: "h"}), `hard link to "": empty name`},
		{"hard link to the root", file(raw{kind: '1', name: "h", link: "./"}), "h: corrupt layer: hard link to ., which is a directory"},
		{"hard link to a directory", []raw{{kind: '5', name: "d"}, {kind: '1', name: "h", link: "d"}}, "h: corrupt layer: hard link to d, which is a directory"},
		{"symbolic link to nothing", file(raw{kind: '2', name: "s"}), "s: corrupt layer: symbolic link with a target of 0 bytes"},
		{"symbolic link too long", []raw{pax("linkpath", strings.Repeat("x", 4096)), {kind: '2', name: "s"}}, "target of 4096 bytes"},
		{"component of 256 bytes", []raw{pax("path", strings.Repeat("x", 256)), {name: "a"}}, "path component of 256 bytes, over 255"},
		{"path of 4096 bytes", []raw{pax("path", strings.Repeat("x/", 2048)+"y"), {name: "a"}}, "path of 4097 bytes, over 4095"},
		{"NUL in a name", []raw{pax("path", "a\x00b"), {name: "a"}}, "NUL in a name"},
		{"NUL in a link", []raw{pax("linkpath", "a\x00b"), {kind: '2', name: "a"}}, "NUL in a name"},
		{"P16 .wh.", file(raw{name: "d/.wh."}), `entry "d/.wh.": not a name that a whiteout can hide`},
		{"P16 .wh..", file(raw{name: ".wh.."}), "not a name that a whiteout can hide"},
		{"P16 .wh...", file(raw{name: ".wh..."}), "not a name that a whiteout can hide"},
		{"P16 .wh..wh.foo", file(raw{name: ".wh..wh.foo"}), "not a name that a whiteout can hide"},
		{"P16 .wh..wh.", file(raw{name: ".wh..wh."}), "not a name that a whiteout can hide"},
		{"whiteout as parent", file(raw{name: ".wh.d/x"}), "whiteout in place of a directory"},
		{"opaque mark as parent", file(raw{name: "d/.wh..wh..opq/x"}), "whiteout in place of a directory"},
		{"the root a file", file(raw{name: "./", data: "x"}), ".: corrupt layer: the root is not a directory"},
		{"the root a link", file(raw{kind: '1', name: "./", link: "a"}), ".: corrupt layer: the root is not a directory"},
		{"loop of links", []raw{{kind: '2', name: "a", link: "b"}, {kind: '2', name: "b", link: "a"}, {name: "a/x"}}, "more than 255 symbolic links"},
		{"loop of links in a whiteout", []raw{{kind: '2', name: "a", link: "a"}, {name: "a/.wh.x"}}, "more than 255 symbolic links"},
		{"loop of links in a link's target", []raw{{kind: '2', name: "a", link: "a"}, {kind: '1', name: "h", link: "a/x"}}, "more than 255 symbolic links"},
		{"path that grows by a link", []raw{pax("linkpath", strings.Repeat("x/", 2000)), {kind: '2', name: "a"}, pax("path", "a/"+strings.Repeat("y", 100)+"/z"), {name: "z"}}, "over 4095"},
		{"pax record without length", []raw{{kind: 'x', name: "x", data: "path=a\n"}, {name: "a"}}, "malformed pax record"},
		{"pax record too long", []raw{{kind: 'x', name: "x", data: "99 path=a\n"}, {name: "a"}}, "malformed pax record"},
		{"pax record of length 0", []raw{{kind: 'x', name: "x", data: "0 path=a\n"}, {name: "a"}}, "malformed pax record"},
		{"pax record of negative length", []raw{{kind: 'x', name: "x", data: "-5 a=b\n"}, {name: "a"}}, "malformed pax record"},
		{"pax record without key", []raw{{kind: 'x', name: "x", data: "5 =b\n"}, {name: "a"}}, "malformed pax record"},
		{"pax record without end", []raw{{kind: 'x', name: "x", data: "8 a=bcde"}, {name: "a"}}, "malformed pax record"},
		{"pax header that claims 4 GiB", []raw{{kind: 'x', name: "x", size: base256(4<<30, 12)}, {name: "a"}}, "extended header of 4294967296 bytes, over 4194304"},
		{"long name that claims 2^62", []raw{{kind: 'L', name: "x", size: base256(1<<62, 12)}, {name: "a"}}, "extended header of 4611686018427387904 bytes"},
		{"xattr without a name", []raw{pax("SCHILY.xattr.", "x"), {name: "a"}}, "xattr name"},
		{"xattr value of 64 KiB", []raw{pax("SCHILY.xattr.user.a", strings.Repeat("x", 65536)), {name: "a"}}, "xattr value of 65536 bytes, over 65535"},
		{"xattr that is not base64", []raw{pax("LIBARCHIVE.xattr.user.a", "!"), {name: "a"}}, "not base64"},
		{"xattr name with a NUL", []raw{pax("LIBARCHIVE.xattr.user%00a", ""), {name: "a"}}, "xattr name"},
		{"sparse map beyond the size", []raw{pax("GNU.sparse.size", "10", "GNU.sparse.map", "0,11"), {name: "a", data: "12345678901"}}, "malformed map of a sparse file"},
		{"sparse map descending", []raw{pax("GNU.sparse.size", "10", "GNU.sparse.map", "5,1,0,1"), {name: "a", data: "12"}}, "malformed map"},
		{"sparse map overlapping", []raw{pax("GNU.sparse.size", "10", "GNU.sparse.map", "0,2,1,2"), {name: "a", data: "1234"}}, "malformed map"},
		{"sparse map odd", []raw{pax("GNU.sparse.size", "10", "GNU.sparse.map", "0,2,4"), {name: "a", data: "12"}}, "malformed map"},
		{"sparse map negative", []raw{pax("GNU.sparse.size", "10", "GNU.sparse.map", "-1,2"), {name: "a", data: "12"}}, "malformed map"},
		{"sparse map overflowing", []raw{pax("GNU.sparse.size", "9223372036854775807", "GNU.sparse.map", "9223372036854775807,9223372036854775807"), {name: "a"}}, "malformed map"},
		{"sparse file without size", []raw{pax("GNU.sparse.map", "0,1"), {name: "a", data: "1"}}, "malformed map"},
		{"sparse size negative", []raw{pax("GNU.sparse.size", "-1", "GNU.sparse.map", ""), {name: "a"}}, "malformed map"},
		{"sparse data that is not there", []raw{pax("GNU.sparse.size", "10", "GNU.sparse.map", "0,5"), {name: "a", data: "1"}}, "sparse file has 1 bytes of data, its map says 5"},
		{"sparse format 2.0", []raw{pax("GNU.sparse.major", "2", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "1"), {name: "a", data: "1"}}, "sparse format 2.0"},
		{"sparse map in the data that claims a million pieces", []raw{pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "1"), {name: "a", data: "1048577\n"}}, "malformed map"},
		{"sparse map in the data without end", []raw{pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "1"), {name: "a", data: strings.Repeat("1", 2000)}}, "malformed map"},
		{"sparse map in the data of an empty file", []raw{pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "1"), {name: "a"}}, "malformed map"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := rawTar(c.headers...)
			got, err := readAll(t, data, layer.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v\nread %s\nwant %s", err, got, c.want)
			}
			if !errors.Is(err, layer.ErrCorrupt) && !errors.Is(err, layer.ErrUnsupported) {
				t.Errorf("%v: neither ErrCorrupt nor ErrUnsupported", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: more than a line", err)
			}
		})
	}
}

func TestDiffID(t *testing.T) {
	whole := sample(t)
	padded := append(slices.Clone(whole), make([]byte, 8192)...)
	trailed := append(slices.Clone(whole), "anything"...)
	for _, data := range [][]byte{whole, padded, trailed} {
		for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			if _, err := readAll(t, data, layer.Options{DiffID: alg.FromBytes(data)}); err != nil {
				t.Errorf("%d bytes, %s: %v", len(data), alg, err)
			}
		}
		wrong := digest.FromString("else")
		_, err := readAll(t, data, layer.Options{DiffID: wrong})
		want := fmt.Sprintf("corrupt layer: diff-id is %s, expected %s", digest.FromBytes(data), wrong)
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// The padding counts.
	if _, err := readAll(t, padded, layer.Options{DiffID: digest.FromBytes(whole)}); err == nil {
		t.Error("padding is not part of the diff-id")
	}
	if _, err := readAll(t, whole, layer.Options{DiffID: "sha256:12"}); err == nil {
		t.Error("a diff-id of 2 digits is accepted")
	}
}

// TestTap reads layers with bytes after the archive.
func TestTap(t *testing.T) {
	whole := append(sample(t), make([]byte, 300_000)...)
	for name, data := range map[string][]byte{"plain": whole, "gzip": gzipped(t, whole)} {
		var tapped bytes.Buffer
		if _, err := readAll(t, data, layer.Options{Tap: &tapped}); err != nil || !bytes.Equal(tapped.Bytes(), whole) {
			t.Errorf("%s: the tap has %d of %d bytes: %v", name, tapped.Len(), len(whole), err)
		}
	}
}

// TestVerified: a layer is not hashed if its input verifies the same digest. A compressed
// layer is hashed all the same, as its diff-id is another digest.
func TestVerified(t *testing.T) {
	whole := sample(t)
	open := whole[:len(whole)-len(endBlocks)]
	gz := packed(t, "gzip", whole)
	wrong := digest.FromString("else") // which a layer that is hashed does not have
	for _, c := range []struct {
		name             string
		data             []byte
		diffID, verified digest.Digest
		ok               bool
	}{
		{"plain", whole, wrong, wrong, true},
		{"without an end", open, wrong, wrong, true},
		{"another digest", whole, wrong, digest.FromBytes(whole), false},
		{"none", whole, wrong, "", false},
		{"no diff-id, without an end", open, "", digest.FromBytes(open), false},
		{"gzip", gz, digest.FromBytes(gz), digest.FromBytes(gz), false},
		{"gzip with its diff-id", gz, digest.FromBytes(whole), digest.FromBytes(gz), true},
	} {
		if _, err := readAll(t, c.data, layer.Options{DiffID: c.diffID, Verified: c.verified}); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestZeroBlocks has zeros where an archive does not end.
func TestZeroBlocks(t *testing.T) {
	a, b := raw{name: "a"}.bytes(), raw{name: "b"}.bytes()
	zero := make([]byte, 512)
	_, err := readAll(t, slices.Concat(a, zero, b, endBlocks), layer.Options{})
	if !errors.Is(err, layer.ErrCorrupt) || !strings.Contains(err.Error(), "byte 1024 of the tar: a single block of zeros between entries") {
		t.Error(err)
	}
	// What follows the end is no part of the archive.
	got, err := readAll(t, slices.Concat(a, zero, zero, b, endBlocks), layer.Options{})
	if err != nil || !strings.HasPrefix(got, "a ") || strings.Count(got, "\n") != 1 {
		t.Errorf("%s, %v", got, err)
	}
	// A header of the next entry that does not come.
	_, err = readAll(t, slices.Concat(a, pax("uid", "1").bytes(), endBlocks), layer.Options{})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an extended header without its entry: %v", err)
	}
}

func TestEmptyLayers(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		opts layer.Options
		ok   bool
	}{
		{"0 bytes", nil, layer.Options{}, false},
		{"0 bytes, allowed", nil, layer.Options{AllowUnterminated: true}, true},
		{"0 bytes with their diff-id", nil, layer.Options{DiffID: digest.FromBytes(nil)}, true},
		{"0 bytes with another diff-id", nil, layer.Options{DiffID: digest.FromString("x")}, false},
		{"512 zeros", make([]byte, 512), layer.Options{}, false},
		{"1024 zeros", make([]byte, 1024), layer.Options{}, true},
		{"10240 zeros", make([]byte, 10240), layer.Options{}, true},
		{"zeros, then an image", append(make([]byte, 10240), 0xe2), layer.Options{}, false},
		{"1 byte", []byte{0}, layer.Options{AllowUnterminated: true}, false},
		{"text", []byte("not a tar at all"), layer.Options{}, false},
		{"text of a block", bytes.Repeat([]byte("not a tar\n"), 52), layer.Options{}, false},
	} {
		got, err := readAll(t, c.data, c.opts)
		if (err == nil) != c.ok || got != "" {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestReservedXattrs(t *testing.T) {
	var warnings []string
	opts := layer.Options{Warn: func(msg string) { warnings = append(warnings, msg) }}
	got, err := readAll(t, rawTar(
		pax("SCHILY.xattr.trusted.overlay.opaque", "y", "SCHILY.xattr.trusted.overlayfs", "stays"), raw{kind: '5', name: "d"},
		pax("LIBARCHIVE.xattr.user.overlay.redirect", "Lw", "SCHILY.xattr.trusted.ocipipe.link", "x"), raw{name: "f"},
	), opts)
	if want := "d dir 0000 0 0 0.000000000 trusted.overlayfs=\"stays\"\nf file 0000 0 0 0.000000000 size=0\n"; err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	want := []string{
		"d: extended attribute trusted.overlay.opaque dropped: a layer may not steer overlayfs",
		"3 reserved extended attributes dropped in all",
	}
	if !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
}

func TestZeroDevice(t *testing.T) {
	data := rawTar(raw{name: "a"}, raw{kind: '3', name: "dev/x"}, raw{kind: '4', name: "dev/y"}, raw{name: "z"})
	_, err := readAll(t, data, layer.Options{})
	if !errors.Is(err, layer.ErrCorrupt) || !errors.Is(err, layer.ErrZeroDevice) {
		t.Errorf("%v is another error", err)
	}
	if want := "dev/x: corrupt layer: character device 0:0, which would hide what lies below"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	got, err := readAll(t, data, layer.Options{AllowZeroDevice: true})
	want := "a file 0000 0 0 0.000000000 size=0\ndev/y block 0000 0 0 0.000000000 0:0\nz file 0000 0 0 0.000000000 size=0\n"
	if err != nil || got != want {
		t.Errorf("allowed: %s, %v", got, err)
	}
}

// TestContentOnce leaves contents unread, and reads one after the next entry.
func TestContentOnce(t *testing.T) {
	data := rawTar(raw{name: "a", data: strings.Repeat("a", 5000)}, raw{name: "b", data: "bb"}, raw{name: "c", data: "c"})
	r, err := layer.NewReader(bytes.NewReader(data), layer.Options{DiffID: digest.FromBytes(data)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, name := range []string{"a", "b", "c"} {
		e, err := r.Next()
		if err != nil || e.Path != name {
			t.Fatalf("%v, %v, want %s", e, err, name)
		}
		if name == "b" && contentOf(t, e) != "bb" {
			t.Error("content of b")
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

// TestLimits are the limits of the tree over a layer.
func TestLimits(t *testing.T) {
	data := rawTar(pax("SCHILY.xattr.user.a", strings.Repeat("x", 100)), raw{name: "a/b/c", data: strings.Repeat("x", 1000)}, raw{name: "b", data: "x"})
	for which, l := range map[tree.LimitKind]tree.Limits{
		tree.LimitEntries: {Entries: 1}, tree.LimitDepth: {Depth: 2}, tree.LimitFileSize: {FileSize: 999},
		tree.LimitTotalSize: {TotalSize: 1000}, tree.LimitXattrBytes: {XattrBytes: 99}, tree.LimitTreeMemory: {TreeMemory: 4*tree.NameCost + 100},
	} {
		_, err := layer.Load(context.Background(), input("x", data, layer.Options{}), layer.LoadOptions{SpoolDir: t.TempDir(), Limits: l})
		var limit *tree.LimitError
		if !errors.As(err, &limit) || limit.Which != which {
			t.Errorf("%s: %v", which, err)
		}
	}
}

// placed checks that the bytes that it is given lie at the place that it is told.
type placed struct {
	t     *testing.T
	bytes int
}

func (w *placed) Write(p []byte) (int, error) {
	w.t.Error("data without its place")
	return len(p), nil
}

func (w *placed) WriteFrom(f *os.File, off int64, p []byte) (int, error) {
	there := make([]byte, len(p))
	if _, err := f.ReadAt(there, off); err != nil || !bytes.Equal(there, p) {
		w.t.Errorf("%d bytes do not lie at %d: %v", len(p), off, err)
	}
	w.bytes += len(p)
	return len(p), nil
}

// The data of a plain layer in a file is known to lie there, wherever in the file
// the layer begins; that of a compressed one is not.
func TestContentInFile(t *testing.T) {
	large := strings.Repeat("0123456789abcde", 100_000)
	plain := rawTar(raw{name: "a", data: "small"}, raw{name: "b", data: large})
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("what comes before")
	f.Write(plain)
	f.Seek(17, io.SeekStart)
	w := &placed{t: t}
	r, err := layer.NewReader(f, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Content.WriteTo(w); err != nil {
			t.Fatal(err)
		}
	}
	if want := len(large) + 5; w.bytes != want {
		t.Errorf("%d bytes, expected %d", w.bytes, want)
	}

	f.Truncate(0)
	f.Seek(0, io.SeekStart)
	z := gzip.NewWriter(f)
	z.Write(plain)
	z.Close()
	f.Seek(0, io.SeekStart)
	if r, err = layer.NewReader(f, layer.Options{}); err != nil {
		t.Fatal(err)
	}
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	unplaced := &placed{t: new(testing.T)}
	if _, err := e.Content.WriteTo(unplaced); err != nil || unplaced.bytes > 0 {
		t.Errorf("data of a compressed layer: %v, %d bytes in the file", err, unplaced.bytes)
	}
}
