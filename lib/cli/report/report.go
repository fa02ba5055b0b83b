// Package report is the report of what a tool has made, for programs: the object that
// --report and --report-fd write as JSON. REPORT.md in this directory says what each field
// means, and which tool has it.
//
// What is unknown, or makes no sense for the output, is left out; it is never null. Only the
// parts of counts are there even if they are 0. Sizes are bytes. Names are those of the JSON of
// oci-materialize.
package report

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/tree"
)

// Version is that of the form. Fields may be added to it; none changes its meaning.
const Version = 1

// Result is what was made.
type Result struct {
	Version     int    `json:"version"`
	Tool        string `json:"tool"`
	ToolVersion string `json:"tool_version"`

	Format    string        `json:"format,omitempty"`
	MediaType string        `json:"media_type,omitempty"`
	Output    string        `json:"output,omitempty"`
	Digest    digest.Digest `json:"digest,omitempty"`
	DiffID    digest.Digest `json:"diff_id,omitempty"`
	Size      *int64        `json:"size,omitempty"`
	Allocated *int64        `json:"allocated,omitempty"`

	UUID      string       `json:"uuid,omitempty"`
	BlockSize int64        `json:"block_size,omitempty"`
	DiskSize  int64        `json:"disk_size,omitempty"`
	Counts    *tree.Counts `json:"counts,omitempty"`

	Kernel       string   `json:"kernel,omitempty"`
	KernelConfig []string `json:"kernel_config,omitempty"`
	Features     []string `json:"features,omitzero"`

	Reference string   `json:"reference,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	Manifest  *Blob    `json:"manifest,omitempty"`
	Config    *Blob    `json:"config,omitempty"`
	Platform  string   `json:"platform,omitempty"`
	Layers    []Layer  `json:"layers,omitzero"`
	Blobs     *Blobs   `json:"blobs,omitempty"`

	Snapshot *Snapshot `json:"snapshot,omitempty"`

	Warnings int64   `json:"warnings"`
	Seconds  float64 `json:"duration_seconds"`
}

// Blob is a document of an image.
type Blob struct {
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	MediaType string        `json:"media_type"`
}

// Layer is a layer of an image.
type Layer struct {
	Digest    digest.Digest `json:"digest"`            // of the blob
	DiffID    digest.Digest `json:"diff_id,omitempty"` // of the uncompressed tar
	Size      int64         `json:"size"`              // of the blob
	MediaType string        `json:"media_type"`
}

// Blobs say what became of the layers and configurations that were pushed, each once.
type Blobs struct {
	Pushed  Amount `json:"pushed"`
	Mounted Amount `json:"mounted"` // taken over from another repository of the registry
	Skipped Amount `json:"skipped"` // the registry had them, or they are not distributed with images
}

// Amount is how many blobs there are, and the sum of their sizes.
type Amount struct {
	Count int64 `json:"count"`
	Bytes int64 `json:"bytes"`
}

// Add counts a blob of so many bytes.
func (a *Amount) Add(bytes int64) {
	a.Count++
	a.Bytes += bytes
}

// Snapshot is a snapshot of a disk.
type Snapshot struct {
	ID    string `json:"id"`    // its identity
	Form  string `json:"form"`  // 0.6 or 0.7
	Image Image  `json:"image"` // that lies below the disk
}

// Image names an image.
type Image struct {
	Reference string        `json:"reference"`
	Manifest  digest.Digest `json:"manifest"`
}

// UUID returns the usual form of u.
func UUID(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
