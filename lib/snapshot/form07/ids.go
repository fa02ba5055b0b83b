package form07

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form06"
)

// The beginnings of identifiers. What follows is 32 hex digits.
const (
	snapshotPrefix = "snap_"
	layerPrefix    = "layer_"
)

func isID(id, prefix string) bool {
	digits, ok := strings.CutPrefix(id, prefix)
	return ok && len(digits) == 32 && strings.Trim(digits, "0123456789abcdef") == ""
}

// SnapshotID returns the identifier that a snapshot of form 0.6 has in this form.
func SnapshotID(old digest.Digest) string { return snapshotPrefix + old.Encoded()[:32] }

// LayerID returns the identifier that the disk of a snapshot of form 0.6 has in this form.
func LayerID(old digest.Digest) string { return layerPrefix + old.Encoded()[32:] }

// IsID reports whether id is an identifier of a snapshot.
func IsID(id string) bool { return isID(id, snapshotPrefix) }

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func isName(name string) bool {
	n := len(name)
	return n >= 1 && n <= 128 && strings.Trim(name, alphanumeric+"._-") == "" &&
		strings.IndexByte(alphanumeric, name[0]) >= 0 && name[n-1] != '.'
}

// CheckName accepts the names that groups, and snapshots in them, may have: 1 to 128 ASCII
// letters, digits, hyphens, underscores and periods, of which the first is a letter or
// digit and the last no period. Those of identifiers are reserved.
func CheckName(name string) error {
	switch {
	case !isName(name):
		return fault.Corrupt("%.200q: a name has 1 to 128 ASCII letters, digits, '-', '_' and '.', begins with a letter or digit, and does not end with '.'", name)
	case strings.HasPrefix(name, snapshotPrefix):
		return fault.Corrupt("%.200q: names that begin with %s are reserved", name, snapshotPrefix)
	}
	return nil
}

// Names of files in the directory of a snapshot or group, and in an archive.
const (
	DescriptorName = form06.DescriptorName
	LabelsName     = "metadata.json"
	MemberName     = "group-member.json"
	GroupName      = "group.json"
	LayersName     = "layers" // a directory
	InventoryName  = form06.InventoryName
)

// The kinds of members that an inventory has. Those of images are as in form06.
const (
	KindDescriptor = form06.KindDescriptor
	KindLabels     = "snapshot-metadata"
	KindPayload    = form06.KindPayload
)

// DescriptorPath is where an archive has the descriptor of the snapshot id.
func DescriptorPath(id string) string { return "snapshots/" + id + "/" + DescriptorName }

// LabelsPath is where an archive has the labels of the snapshot id.
func LabelsPath(id string) string { return "snapshots/" + id + "/" + LabelsName }

// Path is where an archive, and the directory of a snapshot, has the layer.
func (l *Layer) Path() string { return LayersName + "/" + l.ID + "." + l.Format }

// Name is what the path of a member says.
type Name struct {
	Kind     string // "" for the inventory
	Snapshot string // that it belongs to; "" for layers and images
	Layer    string
	Format   string // of the layer
}

// ParseName returns what the path of a file in an archive says. It refuses every path that
// an archive may not have.
func ParseName(path string) (Name, error) {
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case InventoryName:
		if path == InventoryName {
			return Name{}, nil
		}
	case "images":
		n, err := form06.ParseName(path)
		return Name{Kind: n.Kind}, err
	case LayersName:
		id, format, ok := strings.Cut(rest, ".")
		if ok && isID(id, layerPrefix) && (format == Raw || format == Qcow2) {
			return Name{Kind: KindPayload, Layer: id, Format: format}, nil
		}
	case "snapshots":
		id, file, _ := strings.Cut(rest, "/")
		kind := map[string]string{DescriptorName: KindDescriptor, LabelsName: KindLabels}[file]
		if isID(id, snapshotPrefix) && kind != "" {
			return Name{Kind: kind, Snapshot: id}, nil
		}
	}
	return Name{}, errName(path)
}

// CheckDir accepts the directories that an archive may have.
func CheckDir(path string) error {
	first, rest, below := strings.Cut(path, "/")
	switch {
	case first == LayersName && !below, first == "snapshots" && (!below || isID(rest, snapshotPrefix)):
		return nil
	case first == "images" && form06.CheckDir(path) == nil:
		return nil
	}
	return errName(path)
}

func errName(path string) error {
	return fault.Corrupt("%.200q: not a path of an archive of snapshots", path)
}
