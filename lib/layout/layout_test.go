package layout

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestParseBlobName(t *testing.T) {
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		if d, ok := ParseBlobName(BlobName(a.FromString("x"))); !ok || d != a.FromString("x") {
			t.Errorf("%s: %v", d, ok)
		}
	}
	hex := digest.SHA256.FromString("x").Encoded()
	for _, bad := range []string{
		"", "blobs", "blobs/sha256", "blobs/sha256/", "blobs/sha256/" + hex[1:], "blobs/sha256/" + hex + "/", "blobs//sha256/" + hex,
		"blobs/sha384/" + digest.SHA384.FromString("x").Encoded(), "blobs/sha512/" + hex, "sha256/" + hex, "x/blobs/sha256/" + hex, "blobs/sha256:" + hex,
	} {
		if d, ok := ParseBlobName(bad); ok {
			t.Errorf("%q is %s", bad, d)
		}
	}
}

func TestCheckDigest(t *testing.T) {
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		d := a.FromString("x")
		if err := CheckDigest(d); err != nil {
			t.Error(err)
		}
		if name := BlobName(d); name != "blobs/"+strings.Replace(d.String(), ":", "/", 1) {
			t.Errorf("%s lies in %s", d, name)
		}
	}
	if err := CheckDigest(digest.SHA384.FromString("x")); !errors.As(err, new(*AlgorithmError)) || !strings.Contains(err.Error(), "algorithm sha384 is neither") {
		t.Errorf("sha384: %v", err)
	}
	hex := strings.Repeat("a", 62)
	for _, bad := range []digest.Digest{
		"", "sha256", "sha256:", "sha256:../../x", "sha256:" + digest.Digest(strings.ToUpper(hex)) + "AA",
		"sha256:" + digest.Digest(hex) + "/.", "sha256:" + digest.Digest(hex) + "a", "md5:" + digest.Digest(hex[:32]), "../sha256:" + digest.Digest(hex) + "aa",
	} {
		if err := CheckDigest(bad); err == nil || errors.As(err, new(*AlgorithmError)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for bad, want := range map[digest.Digest]string{
		"foo":        `digest "foo": not sha256: and 64 hex digits`,
		"sha256:abc": `digest "sha256:abc": too few or too many hex digits`,
		"foo:abcdef": `digest "foo:abcdef": unknown algorithm`,
	} {
		if err := CheckDigest(bad); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestShortDigest(t *testing.T) {
	for d, want := range map[digest.Digest]string{
		"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef": "sha256:0123456789ab",
		"sha512:0123": "sha512:0123",
		"":            ":",
	} {
		if have := ShortDigest(d); have != want {
			t.Errorf("%q: %q, want %q", d, have, want)
		}
	}
}
