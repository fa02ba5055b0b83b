package imagecache

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/printable"
)

// The functions of this file write for people. Names come from foreign images, and are made
// fit for a terminal.

// WriteListing writes a line for each image, and one about all of them.
func WriteListing(w io.Writer, l Listing, now time.Time) error {
	t := newTable(w)
	if len(l.Images) > 0 {
		t.row("NAME", "MANIFEST", "PLATFORM", "LAYERS", "SIZE", "ALONE", "LAST USED", "")
	}
	for i := range l.Images {
		im := &l.Images[i]
		note := ""
		if len(im.Problems) > 0 {
			note = "not complete"
		} else if im.Dropped {
			note = "without compressed layers"
		}
		t.row(im.title(), short(im.Manifest), cmp.Or(im.Platform, "-"), len(im.Layers), size(im.Size), size(im.Alone), ago(im.LastUsed, now), note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s, %s in %s; %s of it needed by none\n", plural(len(l.Images), "image"), size(l.Size), printable.Text(l.Cache), size(l.Unheld))
	return err
}

// WriteImages writes all about each image. Where the table of layers is wider than columns, it
// cuts their digests short; 0 columns is no limit.
func WriteImages(w io.Writer, images []Image, columns int) error {
	for i := range images {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := writeImage(w, &images[i], columns); err != nil {
			return err
		}
	}
	return nil
}

func writeImage(w io.Writer, im *Image, columns int) error {
	t := newTable(w)
	used := ""
	if im.LastUsed != nil {
		used = im.LastUsed.UTC().Format(time.RFC3339)
	}
	for _, kv := range [][2]string{
		{"name", im.Name},
		{"manifest", im.Manifest.String()},
		{"index", im.Index.String()},
		{"config", im.Config.String()},
		{"platform", im.Platform},
		{"last used", used},
		{"size", fmt.Sprintf("%s, %s of it for this image alone", size(im.Size), size(im.Alone))},
	} {
		if kv[1] != "" {
			t.row(kv[0], kv[1])
		}
	}
	for _, p := range im.Problems {
		t.row("problem", p)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	layers := listLayers(im, digest.Digest.String)
	if columns > 0 && printable.Width(layers) > columns {
		layers = listLayers(im, layout.ShortDigest)
	}
	if _, err := w.Write(layers); err != nil {
		return err
	}
	return writeArtifacts(w, im)
}

// listLayers returns a table of the layers of an image.
func listLayers(im *Image, show func(digest.Digest) string) []byte {
	var text bytes.Buffer
	t := newTable(&text)
	if len(im.Layers) > 0 {
		t.row("\nLAYER", "SIZE", "BLOB", "IMAGES", "SHARED BY", "DIGEST", "DIFF-ID")
	}
	for i, l := range im.Layers {
		blob, diffID := "missing", "-"
		if l.Blob {
			blob = "here"
		}
		if l.DiffID != "" {
			diffID = show(l.DiffID)
		}
		t.row(i, size(l.Size), blob, sizes(l.Images), l.Shared, show(l.Digest), diffID)
	}
	t.Flush() // to memory
	return text.Bytes()
}

// writeArtifacts writes a table of the artifacts of an image.
func writeArtifacts(w io.Writer, im *Image) error {
	t := newTable(w)
	if len(im.Artifacts) > 0 {
		t.row("\nSIZE", "FILE")
	}
	for _, a := range im.Artifacts {
		t.row(size(a.Size), a.Name)
	}
	return t.Flush()
}

// sizes lists the sizes of files, with the variants of artifacts that have one.
func sizes(files []File) string {
	var list []string
	for _, f := range files {
		text := size(f.Size)
		if a, ok := cas.ParseArtifact(f.Name); ok && a.Variant != "" {
			text += " " + a.Variant
		}
		list = append(list, text)
	}
	return cmp.Or(strings.Join(list, ", "), "-")
}

// WriteReport writes what was removed.
func WriteReport(w io.Writer, r Report) error {
	for _, im := range r.Images {
		title := (&Image{Name: im.Name, Manifest: im.Manifest}).title()
		if _, err := fmt.Fprintf(w, "removed %s %s\n", printable.Text(title), short(im.Manifest)); err != nil {
			return err
		}
	}
	inUse := ""
	if r.InUse > 0 {
		inUse = fmt.Sprintf(", %s only because it is in use", size(r.InUse))
	}
	_, err := fmt.Fprintf(w, "freed %s in %s; %s left%s\n", size(r.Freed), plural(len(r.Files), "file"), size(r.Size), inUse)
	return err
}

// WriteVerification writes what was found, a fault or a foreign file a line.
func WriteVerification(w io.Writer, v Verification) error {
	for _, f := range v.Faults {
		repair := ""
		if f.Repair != "" {
			repair = " (" + f.Repair + ")"
		}
		if _, err := fmt.Fprintf(w, "%s: %s%s\n", printable.Text(f.File), printable.Text(f.What), repair); err != nil {
			return err
		}
	}
	for _, name := range v.Foreign {
		if _, err := fmt.Fprintf(w, "%s: not of the cache, left alone\n", printable.Text(name)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "verified %s, %s: %s\n", plural(v.Files, "file"), size(v.Bytes), plural(len(v.Faults), "fault"))
	return err
}

// table is a table whose cells fit a terminal.
type table struct {
	*tabwriter.Writer
	text *bytes.Buffer
	w    io.Writer
}

func newTable(w io.Writer) table {
	var text bytes.Buffer
	return table{tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0), &text, w}
}

// Flush writes the table, without spaces at the ends of lines.
func (t table) Flush() error {
	t.Writer.Flush()
	var b bytes.Buffer
	for line := range bytes.Lines(t.text.Bytes()) {
		b.Write(append(bytes.TrimRight(line, " \n"), '\n'))
	}
	_, err := t.w.Write(b.Bytes())
	return err
}

// row writes a row. The first cell may begin with a line feed.
func (t table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		text := fmt.Sprint(c)
		plain := strings.TrimPrefix(text, "\n")
		row[i] = text[:len(text)-len(plain)] + printable.Text(plain)
	}
	fmt.Fprintln(t, strings.Join(row, "\t"))
}

// title is how an image is called: its name, or the beginning of its digest.
func (im *Image) title() string {
	if im.Name == "" || layout.CheckDigest(digest.Digest(im.Name)) == nil {
		return layout.ShortDigest(im.Manifest)
	}
	return im.Name
}

// short returns the beginning of a digest, which Select understands.
func short(d digest.Digest) string {
	_, hex, _ := strings.Cut(layout.ShortDigest(d), ":")
	return hex
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size formats a number of bytes in the unit that suits it.
func size(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n) / 1024
	for f >= 1023.95 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}

// ago says how long t is before now, in one unit. A clock may have gone backwards.
func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	d := now.Sub(*t)
	switch {
	case d < 0:
		return "in the future"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int(d.Minutes()), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d.Hours()), "hour") + " ago"
	}
	return plural(int(d.Hours()/24), "day") + " ago"
}
