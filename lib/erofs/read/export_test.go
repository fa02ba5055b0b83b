package read

import (
	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/tree"
)

// What follows lets tests in package read_test, which make images with the writer, use
// parts of the reader.

// SetBudget bounds the metadata that src, a source of an image, may still read.
func SetBudget(src tree.Source, n int64) { src.(*source).xs.budget = n }

// ReadXattrs reads the xattrs of some inodes with one budget.
func (img *Image) ReadXattrs(budget int64, nids ...uint64) error {
	xs := &xattrReader{img: img, budget: budget}
	for _, nid := range nids {
		ino, err := img.readInode(nid)
		if err == nil {
			_, err = xs.read(ino)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MetadataSize is what a source counts for the inode beside its record and xattrs.
func (img *Image) MetadataSize(nid uint64) (int64, error) {
	ino, err := img.readInode(nid)
	if err != nil {
		return 0, err
	}
	return (&source{img: img}).metadata(ino), nil
}

// ReadInode reads the inode nid, and tells where it is.
func (img *Image) ReadInode(nid uint64) (disk.Inode, int64, error) {
	ino, err := img.readInode(nid)
	if err != nil {
		return disk.Inode{}, 0, err
	}
	return ino.Inode, ino.off, nil
}

// SetMetaBlock changes where inodes are counted from.
func (img *Image) SetMetaBlock(block uint32) { img.super.MetaBlock = block }

// IndexPlace returns where the header and the index of a compressed file are.
func (c *Content) IndexPlace() (at, size int64, ok bool) {
	if c.z == nil {
		return 0, 0, false
	}
	return c.z.file.Place(), c.z.file.IndexSize(), true
}

// Packed returns the content of the packed inode, or nil.
func (img *Image) Packed() *Content {
	c, err := img.packedContent()
	if err != nil {
		return nil
	}
	return c
}

// ContentAt is the content of a file of size bytes with the header of its index at offset at.
func (img *Image) ContentAt(at, size int64) (*Content, error) {
	f, err := z.Open(&img.z.params, at, size, false)
	return &Content{img: img, size: size, z: &compressed{file: f}}, err
}
