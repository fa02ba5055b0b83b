package oci

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/ocitest"
	"ocipipe/lib/oci/printable"
)

func TestList(t *testing.T) {
	ti := ocitest.Simple(t)
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ti), "v\x1b1"))
	img, err := OpenPath(ctx, p.Dir(t), linux)
	must(t, err)

	var text, digests, js bytes.Buffer
	must(t, ListText(&text, img, 0))
	for _, s := range []string{"platform linux/amd64\n", "tag      v 1\n", img.Digest.String(), img.ConfigDigest.String(),
		"\n1      ", img.Layers[1].Digest.String() + "  " + img.Layers[1].DiffID.String() + "  application/vnd.oci.image.layer.v1.tar+gzip\n"} {
		if !strings.Contains(text.String(), s) {
			t.Errorf("no %q in\n%s", s, text.String())
		}
	}

	var narrow, wide bytes.Buffer
	must(t, ListText(&narrow, img, 80))
	if n := printable.Width(narrow.Bytes()); n > 80 {
		t.Errorf("%d columns:\n%s", n, narrow.String())
	}
	for _, s := range []string{img.Digest.String(), img.ConfigDigest.String(), "\n1      ", " tar+gzip\n", " " + img.Layers[1].Digest.String()[:len("sha256:")+12] + " "} {
		if !strings.Contains(narrow.String(), s) {
			t.Errorf("no %q in\n%s", s, narrow.String())
		}
	}
	must(t, ListText(&wide, img, printable.Width(text.Bytes())))
	if wide.String() != text.String() {
		t.Errorf("cut short although there is room:\n%s", wide.String())
	}

	must(t, ListDigests(&digests, img))
	want := ""
	for _, l := range img.Layers {
		want += l.Digest.String() + "\n"
	}
	if digests.String() != want {
		t.Errorf("digests\n%s, want\n%s", digests.String(), want)
	}

	must(t, ListJSON(&js, img))
	var got struct {
		Manifest, Config struct{ Digest digest.Digest }
		Platform, Tag    string
		Layers           []struct {
			MediaType      string
			Digest, DiffID digest.Digest
			Size           int64
		}
	}
	must(t, json.Unmarshal(js.Bytes(), &got))
	if got.Manifest.Digest != img.Digest || got.Config.Digest != img.ConfigDigest || got.Platform != "linux/amd64" || got.Tag != "v\x1b1" || len(got.Layers) != 3 {
		t.Errorf("%s", js.String())
	}
	for i, l := range got.Layers {
		if w := img.Layers[i]; l.Digest != w.Digest || l.DiffID != w.DiffID || l.Size != w.Size || l.MediaType != w.MediaType {
			t.Errorf("layer %d: %+v", i, l)
		}
	}
}

// TestListJSONOnTerminal shows that a terminal obeys nothing of a tag.
func TestListJSONOnTerminal(t *testing.T) {
	const tag = "v\u009b2J\u202e\x7f<"
	p := ocitest.NewPack()
	p.Index(ocitest.Named(p.Image(t, ocitest.Simple(t)), tag))
	img, err := OpenPath(t.Context(), p.Dir(t), linux)
	must(t, err)
	var js bytes.Buffer
	must(t, ListJSON(&js, img))
	var got struct{ Tag string }
	must(t, json.Unmarshal(js.Bytes(), &got))
	if got.Tag != tag || strings.ContainsFunc(js.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("%q", js.String())
	}
}
