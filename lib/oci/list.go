package oci

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/opencontainers/go-digest"
)

// ListText writes what img consists of for people to read.
func ListText(w io.Writer, img *Image) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "manifest\t%s\n", img.Digest)
	fmt.Fprintf(tw, "config\t%s\n", img.ConfigDigest)
	fmt.Fprintf(tw, "platform\t%s\n", printable(img.Platform))
	if img.Tag != "" {
		fmt.Fprintf(tw, "tag\t%s\n", printable(img.Tag))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(tw, "\nLAYER\tSIZE\tDIGEST\tDIFF-ID\tTYPE\n")
	for _, l := range img.Layers {
		diffID := l.DiffID.String()
		if l.DiffID == l.Digest {
			diffID = "same"
		}
		fmt.Fprintf(tw, "%d\t%d\t%s\t%s\t%s\n", l.Index, l.Size, l.Digest, diffID, l.MediaType)
	}
	return tw.Flush()
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

// ListJSON writes what img consists of as one JSON object.
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
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(list)
}

// printable is s without what a terminal might obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
