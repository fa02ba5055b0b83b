package snapshot

import (
	"bytes"
	"encoding/json"

	"ocipipe/lib/oci/printable"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// Describe returns what a descriptor says as JSON for people and programs, and what else
// is in the archive, unless that is nil:
//
//	form, id, digest, created_at, parent (or null), image: reference, manifest; source (or
//	null), labels, disks: name, format, filesystem, size (or null), integrity (or null):
//	algorithm, digest; extensions, requires
//	of an archive: archive: suggested_name (or null), snapshots, image_files
func Describe(info *form.Info, c *form.Contents) []byte {
	str := strictjson.Str
	labels, extensions, disks := strictjson.Map(), strictjson.Map(), strictjson.List()
	for k, v := range info.Labels {
		labels.Set(k, str(v))
	}
	for k, v := range info.Extensions {
		extensions.Set(k, v)
	}
	for i := range info.Disks {
		d := &info.Disks[i]
		size := strictjson.Int(d.Size)
		if d.Size == form.UnknownSize {
			size = strictjson.Text(nil)
		}
		disks.Items = append(disks.Items, strictjson.Record().Set("name", str(d.Name)).Set("format", str(d.Format)).
			Set("filesystem", str(d.FSType)).Set("size", size).Set("integrity", describeSum(d.Integrity)))
	}
	v := strictjson.Record().Set("form", str(info.Form)).Set("id", str(info.ID)).Set("digest", str(info.Digest.String())).
		Set("created_at", str(info.CreatedAt)).Set("parent", orNull(info.Parent)).
		Set("image", strictjson.Record().Set("reference", str(info.Reference)).Set("manifest", str(info.Manifest.String()))).
		Set("source", orNull(info.Source)).Set("labels", labels).Set("disks", disks).
		Set("extensions", extensions).Set("requires", strictjson.Strs(info.Requires))
	if c != nil {
		snapshots := strictjson.List()
		for _, s := range c.Snapshots {
			snapshots.Items = append(snapshots.Items, str(s.ID))
		}
		v.Set("archive", strictjson.Record().Set("suggested_name", orNull(c.Name)).Set("snapshots", snapshots).Set("image_files", strictjson.Strs(c.Image)))
	}
	var b bytes.Buffer
	if err := json.Indent(&b, strictjson.Append(nil, v), "", "  "); err != nil {
		panic(err) // our own JSON
	}
	b.WriteByte('\n')
	return printable.JSON(b.Bytes())
}

func describeSum(s *integrity.Sum) *strictjson.Value {
	if s == nil {
		return strictjson.Text(nil)
	}
	return strictjson.Record().Set("algorithm", strictjson.Str(s.Algorithm)).Set("digest", strictjson.Str(s.Digest))
}

func orNull(s string) *strictjson.Value {
	if s == "" {
		return strictjson.Text(nil)
	}
	return strictjson.Str(s)
}
