// Package form has what the forms of snapshots have in common: what each says of a
// snapshot, and what a reader of archives asks of it.
package form

import (
	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// Info is what a descriptor says, whatever its form.
type Info struct {
	Form       string        // the version of microsandbox: "0.6" or "0.7"
	ID         string        // the identity that others refer to
	Digest     digest.Digest // of the descriptor
	CreatedAt  string        // RFC 3339
	Parent     string        // identity, or ""
	Reference  string        // of the image below
	Manifest   digest.Digest // of the image below
	Source     string        // name of the sandbox, or ""
	Labels     map[string]string
	Extensions map[string]*strictjson.Value
	Requires   []string
	Disks      []Disk // oldest first: more than one is a chain; none if the state is not a disk
}

// IsSHA256 reports whether d is a SHA-256, as manifests and snapshots have it.
func IsSHA256(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.SHA256 }

// Disk is a file with the content of a disk.
type Disk struct {
	Name      string // in the directory of the snapshot, with slashes
	Format    string // "raw" or "qcow2"
	FSType    string
	Size      int64          // of the file, or UnknownSize
	Integrity *integrity.Sum // nil if the descriptor has none
}

// UnknownSize is that of a disk whose descriptor does not say how large its file is.
const UnknownSize = -1

// Role is how a member of an archive is treated.
type Role int

// The roles.
const (
	Meta      Role = iota // small; kept in memory
	Bulk                  // a disk; its holes stay holes
	Image                 // a file of the image below
	ImageMeta             // a small one, kept in memory
)

// MaxMeta is the largest member with the role Meta, in bytes.
const MaxMeta = 4 << 20

// Received is a member that was read.
type Received struct {
	archive.Member
	Role      Role
	Kind      string        // what the form calls it
	Transport string        // its hash
	SHA256    digest.Digest // of all but Bulk
	Data      []byte        // of Meta and ImageMeta
}

// Grammar reads the archives of a form. It takes members in any order.
type Grammar interface {
	// CheckDir accepts the directories that an archive may have.
	CheckDir(name string) error
	// Classify says what the member is. It refuses one that the form does not have.
	Classify(m *archive.Member) (role Role, kind string, err error)
	// Take takes a member of the role Meta, before the next one is read.
	Take(name string, data []byte) error
	// Integrity returns the integrity that a descriptor has for a disk. known is false
	// as long as that descriptor was not taken.
	Integrity(name string) (sum *integrity.Sum, known bool)
	// Finish checks the members against each other. ended says that the tar had its end.
	Finish(members []*Received, ended bool) (*Contents, error)
}

// Contents is what an archive has.
type Contents struct {
	Head      string      // identity
	Name      string      // that the archive suggests for the head, or ""
	Snapshots []*Snapshot // parents first, the head last
	Image     []string    // names of the members that belong to the image
}

// Snapshot is a snapshot and the files of its directory.
type Snapshot struct {
	Info
	Dir   string // the name that its directory gets
	Files []File
}

// File is a file in the directory of a snapshot: Data, or the content of a member.
type File struct {
	Name   string
	Data   []byte
	Member string // "" for Data
}

// Member returns the member of the archive with the content of a file of s, or "".
func (s *Snapshot) Member(name string) string {
	for _, f := range s.Files {
		if f.Name == name {
			return f.Member
		}
	}
	return ""
}

// Source is a snapshot that is put into an archive, or into a directory, without its disk.
type Source struct {
	Form       string // of the descriptor
	Descriptor []byte // canonical
	Labels     map[string]string
	Name       string // in the group, or ""
}

// Packed is a snapshot as a form has it.
type Packed struct {
	Info
	Members []Small
	Files   []File // in its directory, beside the disk
	Disk    *Disk  // nil if it has none, or else that of Info
	Path    string // of the disk in an archive
	Kind    string // of the disk
}

// Small is a small member of an archive.
type Small struct {
	Name, Kind string
	Data       []byte
}

// Listing makes the inventory of an archive that is being written.
type Listing interface {
	// Pack returns the snapshot as the form has it. It is an error if the form cannot
	// have it.
	Pack(s Source) (*Packed, error)
	// List lists a member of the snapshot with the identity. sum is that of a disk.
	List(e archive.Entry, id string, sum *integrity.Sum)
	// MaxRuns is how many runs the disks of an archive may have together.
	MaxRuns() int
	// Inventory returns name and content of the inventory, in which name is suggested for
	// the head, unless it is "".
	Inventory(head, name string, parents bool) (string, []byte)
}
