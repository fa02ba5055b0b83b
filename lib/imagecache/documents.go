package imagecache

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layout"
	"ocipipe/lib/oci/manifest"
)

// document is a manifest or index, with the diff-ids of its configuration.
type document struct {
	manifest.Document
	isIndex  bool
	diffIDs  []digest.Digest // nil if there is no configuration to tell
	platform string
	problems []string
	// unknown says that it is not known what the document needs, beside the blobs that it
	// mentions: it is of a kind that this package does not know, or cannot be read.
	unknown   bool
	mentioned []digest.Digest
}

// document reads the manifest or index d, and the configuration of a manifest. What is wrong
// with them is among its problems. An error means that a file cannot be read, so that it is
// not known what it needs.
func (st *state) document(d manifest.Descriptor) (document, error) {
	if doc, ok := st.docs[d.Digest]; ok {
		return doc, nil
	}
	var doc document
	data, why, err := st.blob(d.Digest)
	if err != nil && !st.tolerant {
		return doc, err
	}
	if err != nil {
		return document{problems: []string{err.Error()}, unknown: true}, nil
	}
	if why == "" {
		var perr error
		if doc.Document, doc.isIndex, perr = manifest.Parse(data, d); perr != nil {
			doc, why = document{}, perr.Error()
		}
		if errors.Is(perr, manifest.ErrUnsupported) {
			doc.unknown, doc.mentioned = true, mentioned(data)
		}
	} else {
		why = "manifest " + d.Digest.String() + " " + why
	}
	if why != "" {
		doc.problems = []string{why}
	} else if err := st.config(&doc); err != nil {
		return doc, err
	}
	st.docs[d.Digest] = doc
	return doc, nil
}

var digestForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`"sha(256|512):[0-9a-f]+"`)
})

// mentioned returns the digests in a JSON document.
func mentioned(data []byte) (list []digest.Digest) {
	for _, quoted := range digestForm().FindAll(data, -1) {
		if d := digest.Digest(bytes.Trim(quoted, `"`)); layout.CheckDigest(d) == nil {
			list = append(list, d)
		}
	}
	return list
}

// config reads the configuration of doc.
func (st *state) config(doc *document) error {
	if doc.Config == nil || doc.isIndex {
		return nil
	}
	problem := func(format string, args ...any) { doc.problems = append(doc.problems, fmt.Sprintf(format, args...)) }
	if err := layout.CheckDigest(doc.Config.Digest); err != nil {
		problem("configuration: %v", err)
		return nil
	}
	data, why, err := st.blob(doc.Config.Digest)
	if err != nil && !st.tolerant {
		return err
	}
	if err != nil {
		problem("%v", err)
		doc.unknown = true
		return nil
	}
	if why != "" {
		problem("configuration %s %s", doc.Config.Digest, why)
		return nil
	}
	if doc.Artifact() != "" {
		return nil // not an image of a container: its blobs are all there is
	}
	conf, err := manifest.ParseConfig(data)
	if err != nil {
		problem("configuration %s: %v", doc.Config.Digest, err)
		return nil
	}
	if !conf.Platform.IsZero() {
		doc.platform = conf.Platform.String()
	}
	doc.diffIDs = append([]digest.Digest{}, conf.RootFS.DiffIDs...)
	if len(doc.diffIDs) != len(doc.Layers) {
		problem("configuration %s has %d diff-ids for %d layers", doc.Config.Digest, len(doc.diffIDs), len(doc.Layers))
	}
	return nil
}

// blob reads a document and checks its digest; why says what is wrong with it.
func (st *state) blob(d digest.Digest) (data []byte, why string, err error) {
	if _, ok := st.files[layout.BlobName(d)]; !ok {
		return nil, "is missing", nil
	}
	data, err = st.read(layout.BlobName(d), maxDocument)
	switch {
	case err != nil:
		return nil, "", err
	case data == nil:
		return nil, "is missing or too large", nil
	case d.Algorithm().FromBytes(data) != d:
		return nil, "is damaged: it does not have its digest", nil
	}
	return data, "", nil
}
