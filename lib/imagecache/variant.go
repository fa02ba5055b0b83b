package imagecache

import "strings"

// noTable marks merged images without a table of devices.
const noTable = "no-table"

// MergedVariant returns the variant of the artifacts (cas.Artifact) over images of layers that
// have the variant ofLayers: a merged image and its disk.
func MergedVariant(ofLayers string, withoutTable bool) string {
	switch {
	case !withoutTable:
		return ofLayers
	case ofLayers == "":
		return noTable
	}
	return ofLayers + "-" + noTable
}

// layersOf returns the variant of the images of layers over which those with the variant
// merged are made.
func layersOf(merged string) string {
	return strings.TrimSuffix(strings.TrimSuffix(merged, noTable), "-")
}
