package form06

import (
	"strings"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
)

// DescriptorPath is where an archive has the descriptor of the snapshot id.
func DescriptorPath(id digest.Digest) string {
	return "snapshots/" + hexOf(id) + "/" + DescriptorName
}

// PayloadPath is where an archive has the disk of the snapshot id, called file.
func PayloadPath(id digest.Digest, file string) string { return "files/" + hexOf(id) + "/" + file }

// hexOf returns the digits of a SHA-256, as names of files have them.
func hexOf(id digest.Digest) string { return strings.TrimPrefix(string(id), "sha256:") }

// Name is what the path of a member says.
type Name struct {
	Kind  string        // "" for the inventory and for directories
	Owner digest.Digest // the snapshot, or ""
	File  string        // the last component
}

// images are the directories of images, and how the names of files there end.
var images = map[string]struct{ suffix, kind string }{
	"manifests": {".json", KindMetadata},
	"layers":    {".erofs", KindObject},
	"fsmeta":    {".erofs", KindObject},
	"vmdk":      {".vmdk", KindObject},
}

// ParseName returns what the path of a file in an archive says. It refuses every path that
// an archive may not have.
func ParseName(path string) (Name, error) {
	if path == InventoryName {
		return Name{File: path}, nil
	}
	parts := strings.Split(path, "/")
	if len(parts) != 3 {
		return Name{}, errName(path)
	}
	n := Name{File: parts[2]}
	switch parts[0] {
	case "snapshots":
		n.Kind, n.Owner = KindDescriptor, digest.NewDigestFromEncoded(digest.SHA256, parts[1])
		if !form.IsSHA256(n.Owner) || n.File != DescriptorName {
			return Name{}, errName(path)
		}
	case "files":
		n.Kind, n.Owner = KindPayload, digest.NewDigestFromEncoded(digest.SHA256, parts[1])
		if !form.IsSHA256(n.Owner) || CheckFileName(n.File) != nil {
			return Name{}, errName(path)
		}
	case "images":
		in, ok := images[parts[1]]
		if stem, cut := strings.CutSuffix(n.File, in.suffix); !ok || !cut || stem == "" || strings.ContainsAny(stem, "\\\x00") {
			return Name{}, errName(path)
		}
		n.Kind = in.kind
	default:
		return Name{}, errName(path)
	}
	return n, nil
}

// CheckDir accepts the directories that an archive may have.
func CheckDir(path string) error {
	first, rest, below := strings.Cut(path, "/")
	switch first {
	case "snapshots", "files", "images", "cache":
		if !below || rest != "" && rest != "." && rest != ".." && !strings.ContainsAny(rest, "/\\\x00") {
			return nil
		}
	}
	return errName(path)
}

func errName(path string) error {
	if strings.HasSuffix(path, "/manifest.json") && strings.Count(path, "/") == 1 {
		return fault.Unsupported("%.200q: an archive of microsandbox before 0.6.14", path)
	}
	return fault.Corrupt("%.200q: not a path of an archive of snapshots", path)
}
