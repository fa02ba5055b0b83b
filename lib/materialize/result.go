package materialize

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/oci/manifest"
	"ocipipe/lib/oci/printable"
)

// Result names all that Materialize has made, or found in the cache. JSON is its form for
// other programs: fields may be added in a later version, and none changes its meaning
// while Version stays the same. Parts that were not asked for are nil. Paths are absolute,
// times are seconds, sizes bytes.
type Result struct {
	Version   int    `json:"version"`   // of the form; 1
	Reference string `json:"reference"` // in full, as the cache lists the image; "" for an image in a file without a name
	Manifest  Blob   `json:"manifest"`
	Index     *Index `json:"index,omitempty"` // from which the manifest was chosen
	Config    Blob   `json:"config"`
	Platform  string `json:"platform"` // OS/ARCH[/VARIANT]

	Process manifest.Run `json:"process"` // what the configuration says of the process to run

	Cache string `json:"cache"` // the directory
	ABI   string `json:"abi"`   // version of the writers

	Compression *Compression `json:"compression,omitempty"` // of the layers, and of a flat EROFS image; nil: none

	Layers []Layer `json:"layers"`
	Fsmeta *Image  `json:"fsmeta,omitempty"`
	VMDK   *Disk   `json:"vmdk,omitempty"`
	Flat   *Image  `json:"flat,omitempty"`
	Upper  *Disk   `json:"upper,omitempty"`

	Hit     bool    `json:"hit"` // nothing had to be built in the cache
	Seconds Seconds `json:"seconds"`
}

// Blob is a document of the image.
type Blob struct {
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	MediaType string        `json:"media_type"`
}

// Index is an index of images.
type Index struct {
	Digest digest.Digest `json:"digest"`
}

// Compression says how contents are compressed.
type Compression struct {
	Algorithm string `json:"algorithm"`       // lz4, lz4hc, zstd, deflate; none if only Hints compress
	Level     int    `json:"level,omitempty"` // 0 if the algorithm has none
	PCluster  int64  `json:"pcluster"`
	Extents   string `json:"extents"`         // index or encoded
	Hints     int    `json:"hints,omitempty"` // how many there are
	Variant   string `json:"variant"`         // in the names of the artifacts
}

// Layer is a layer with its image. Equal layers share one.
type Layer struct {
	Digest    digest.Digest `json:"digest"`  // of the blob
	DiffID    digest.Digest `json:"diff_id"` // of the uncompressed tar
	Size      int64         `json:"size"`    // of the blob
	MediaType string        `json:"media_type"`
	Path      string        `json:"path"` // of the image
	ImageSize int64         `json:"image_size"`
	UUID      string        `json:"uuid"`
	Made
}

// Image is a file system.
type Image struct {
	Path   string        `json:"path"`
	Format Format        `json:"format"`
	Size   int64         `json:"size"`
	UUID   string        `json:"uuid"`
	Digest digest.Digest `json:"digest"` // SHA-256 of the file
	Made
}

// Disk is a VMDK descriptor, or an upper disk.
type Disk struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`      // of the file
	DiskSize int64  `json:"disk_size"` // that a machine sees
	Made
}

// Made says whether this call has built an artifact, or found it.
type Made struct {
	Built   bool    `json:"built"`
	Seconds float64 `json:"seconds"` // that it took; 0 if it was found
}

// Seconds are durations.
type Seconds struct {
	Resolve float64 `json:"resolve"` // until the manifest and the configuration were there
	Total   float64 `json:"total"`
}

// JSON returns r for a program to read, indented. A terminal that shows it obeys nothing that
// an image says.
func (r *Result) JSON() []byte { return printable.Encode(r) }

func uuidText(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
