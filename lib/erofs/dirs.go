package erofs

import (
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

// dirName is one entry of a directory; node is nil for the dots.
type dirName struct {
	name string
	node *tree.Node
}

// appendDirNames appends to names those of a directory as they are stored: in byte order,
// with "." and ".." among the others.
func appendDirNames(names []dirName, children []*tree.Node) []dirName {
	dots := []string{".", ".."}
	for _, c := range children {
		for len(dots) > 0 && dots[0] < c.Name() {
			names, dots = append(names, dirName{name: dots[0]}), dots[1:]
		}
		names = append(names, dirName{c.Name(), c})
	}
	for _, d := range dots {
		names = append(names, dirName{name: d})
	}
	return names
}

// fillDirBlock returns how many of names go into the next block, and how many of its bytes
// they use.
func fillDirBlock(names []dirName, bs int64) (n int, used int64) {
	for _, d := range names {
		k := int64(disk.DirentSize + len(d.name))
		if used+k > bs {
			break
		}
		n++
		used += k
	}
	return n, used
}

// dirSize is the length of a directory in bytes: whole blocks, then the used part of the
// last one.
func dirSize(names []dirName, bs int64) (size int64) {
	for {
		n, used := fillDirBlock(names, bs)
		if names = names[n:]; len(names) == 0 {
			return size + used
		}
		size += bs
	}
}
