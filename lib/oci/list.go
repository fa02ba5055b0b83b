package oci

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/printable"
)

// ListText lists the parts of img for people to read. If a line would be wider than
// columns, it cuts the digests of layers and the types short; 0 columns is no limit.
func ListText(w io.Writer, img *Image, columns int) error {
	text, err := listText(img, func(d digest.Digest) string { return d.String() }, func(t string) string { return t })
	if err == nil && columns > 0 && printable.Width(text) > columns {
		text, err = listText(img, layout.ShortDigest, shortType)
	}
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

func listText(img *Image, show func(digest.Digest) string, showType func(string) string) ([]byte, error) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "manifest %s\n", img.Digest)
	fmt.Fprintf(&text, "config   %s\n", img.ConfigDigest)
	fmt.Fprintf(&text, "platform %s\n", printable.Text(img.Platform))
	if img.Tag != "" {
		fmt.Fprintf(&text, "tag      %s\n", printable.Text(img.Tag))
	}
	tw := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "\nLAYER\tSIZE\tDIGEST\tDIFF-ID\tTYPE\n")
	for _, l := range img.Layers {
		diffID := show(l.DiffID)
		if l.DiffID == l.Digest {
			diffID = "same"
		}
		fmt.Fprintf(tw, "%d\t%d\t%s\t%s\t%s\n", l.Index, l.Size, show(l.Digest), diffID, showType(l.MediaType))
	}
	err := tw.Flush()
	return text.Bytes(), err
}

// shortType returns the end of the media type of a layer, such as "tar+gzip".
func shortType(mediaType string) string {
	if i := strings.LastIndex(mediaType, ".tar"); i >= 0 {
		mediaType = mediaType[i+1:]
	}
	const maxLen = 16
	return mediaType[:min(len(mediaType), maxLen)]
}

// ListDigests writes the digests of the layers, one a line, bottom to top.
func ListDigests(w io.Writer, img *Image) error {
	for _, l := range img.Layers {
		if _, err := fmt.Fprintln(w, l.Digest); err != nil {
			return err
		}
	}
	return nil
}

// ListJSON lists the parts of img as one JSON object.
func ListJSON(w io.Writer, img *Image) error {
	type blob struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
		DiffID    digest.Digest `json:"diffId,omitempty"`
	}
	list := struct {
		Manifest blob   `json:"manifest"`
		Config   blob   `json:"config"`
		Platform string `json:"platform"`
		Tag      string `json:"tag,omitempty"`
		Layers   []blob `json:"layers"`
	}{
		Manifest: blob{img.MediaType, img.Digest, int64(len(img.Manifest)), ""},
		Config:   blob{img.ConfigMediaType, img.ConfigDigest, int64(len(img.Config)), ""},
		Platform: img.Platform,
		Tag:      img.Tag,
		Layers:   make([]blob, 0, len(img.Layers)),
	}
	for _, l := range img.Layers {
		list.Layers = append(list.Layers, blob{l.MediaType, l.Digest, l.Size, l.DiffID})
	}
	_, err := w.Write(printable.Encode(list))
	return err
}
