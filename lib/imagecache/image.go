package imagecache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/cas"
	"ocipipe/lib/layout"
	"ocipipe/lib/oci/names"
)

// An Image is an image that a cache lists.
type Image struct {
	Name     string        `json:"name,omitempty"` // "" for an entry of another program without one
	Manifest digest.Digest `json:"manifest"`
	Index    digest.Digest `json:"index,omitempty"` // that the manifest was taken from
	Config   digest.Digest `json:"config,omitempty"`
	Platform string        `json:"platform,omitempty"`
	// Dropped says that the blobs of the layers are not kept.
	Dropped  bool       `json:"dropped,omitempty"`
	LastUsed *time.Time `json:"last_used,omitempty"` // nil if the manifest is missing
	// Size is what all its files take on the disk, in bytes, and Alone what those take that
	// no other image needs: what its removal frees.
	Size   int64   `json:"size"`
	Alone  int64   `json:"alone"`
	Layers []Layer `json:"layers"` // from bottom to top
	// Artifacts are those of the whole image: fsmeta, disks, flat images.
	Artifacts []File `json:"artifacts,omitempty"`
	// Problems says what is missing or damaged. Only manifests and configurations are read
	// to find that.
	Problems []string `json:"problems,omitempty"`

	ref     cas.Ref
	holds   []string // names of files, each once
	lacking int      // how many of Problems are a layer that is missing
	unknown bool     // something of a kind that this package does not know, and that is no fault
}

// A Layer is a layer of an image.
type Layer struct {
	Digest digest.Digest `json:"digest"`
	DiffID digest.Digest `json:"diff_id,omitempty"`
	Size   int64         `json:"size"`             // of the blob, as the manifest says
	Blob   bool          `json:"blob"`             // the blob is there
	Images []File        `json:"images,omitempty"` // made of the layer
	Shared int           `json:"shared"`           // how many other images have it
}

// A File is a file of the cache.
type File struct {
	Name string `json:"name"` // relative to the cache
	Size int64  `json:"size"` // bytes on the disk
}

// A Listing is what a cache holds.
type Listing struct {
	Cache  string  `json:"cache"`  // its directory
	Size   int64   `json:"size"`   // of all blobs and artifacts
	Unheld int64   `json:"unheld"` // of those that no image needs
	Images []Image `json:"images"` // by name, then by platform
}

// List lists the images of s. It reads manifests, configurations and records, no other
// content.
func List(ctx context.Context, s *cas.Store) (Listing, error) {
	st, err := load(ctx, s)
	if err != nil {
		return Listing{}, err
	}
	l := Listing{Cache: s.Dir(), Images: []Image{}}
	for name, f := range st.files {
		l.Size += f.Size
		if st.holders[name] == 0 {
			l.Unheld += f.Size
		}
	}
	for _, im := range st.images {
		l.Images = append(l.Images, *im)
	}
	slices.SortStableFunc(l.Images, func(a, b Image) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Manifest, b.Manifest))
	})
	return l, nil
}

// Entries returns the images of s for Select and Remove, which need only what index.json and
// refs.json say. No other file is read: layers, sizes and problems are missing.
func Entries(s *cas.Store) ([]Image, error) {
	refs, err := s.AllRefs()
	if err != nil {
		return nil, err
	}
	images := make([]Image, len(refs))
	for i, ref := range refs {
		images[i] = *newImage(ref)
	}
	return images, nil
}

var (
	// ErrNotFound is in the error of Select for a word that means no image.
	ErrNotFound = errors.New("not in the cache")
	// ErrAmbiguous is in the error of Select for the beginning of several digests.
	ErrAmbiguous = errors.New("ambiguous")
)

// minPrefix is the number of hex digits that stand for a digest.
const minPrefix = 8

// Select returns the images that a user means by word: those of that name, one for each
// platform, or else those of the name full, which is how the user may have meant it, or else
// those whose manifest or index has that digest, or one that begins so. Eight hex digits are
// enough if no other digest begins with them.
func Select(images []Image, word, full string) ([]Image, error) {
	for _, name := range []string{word, full} {
		if found := filter(images, func(im *Image) bool { return im.Name == name && name != "" }); found != nil {
			return found, nil
		}
	}
	prefix := strings.TrimPrefix(strings.TrimPrefix(word, "sha256:"), "sha512:")
	if len(prefix) < minPrefix || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%s: %w", names.WithoutPassword(word), ErrNotFound)
	}
	begins := func(d digest.Digest) bool {
		_, hex, _ := strings.Cut(d.String(), ":")
		return d != "" && (strings.HasPrefix(hex, prefix))
	}
	var digests []digest.Digest
	found := filter(images, func(im *Image) bool {
		for _, d := range []digest.Digest{im.Manifest, im.Index} {
			if begins(d) {
				digests = append(digests, d)
				return true
			}
		}
		return false
	})
	slices.Sort(digests)
	if digests = slices.Compact(digests); len(digests) > 1 {
		return nil, fmt.Errorf("%s: %w: %s and %s begin so", word, ErrAmbiguous, digests[0], digests[1])
	}
	if found == nil {
		return nil, fmt.Errorf("%s: %w", word, ErrNotFound)
	}
	return found, nil
}

func filter(images []Image, keep func(*Image) bool) (found []Image) {
	for i := range images {
		if keep(&images[i]) {
			found = append(found, images[i])
		}
	}
	return found
}

// entry identifies the entry of im in the lists of images.
func (im *Image) entry() [4]string {
	full := "" // of the entry itself: im.Platform may be that of the configuration
	if p := im.ref.Platform; p != nil {
		full = p.Full()
	}
	return [4]string{listOf(im), im.Name, im.Manifest.String(), full}
}

// listOf returns the file that lists im.
func listOf(im *Image) string {
	if im.Dropped {
		return cas.DroppedIndex
	}
	return layout.Index
}
