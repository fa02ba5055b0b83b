package tree

// Counts says how many names there are in a tree, and of what. Files to Whiteouts count
// inodes, by the first of their names, and with Hardlinks come to Entries.
type Counts struct {
	Entries      int64 `json:"entries"` // names; in an image with the root
	Files        int64 `json:"files"`   // regular ones
	Directories  int64 `json:"directories"`
	Symlinks     int64 `json:"symlinks"`
	Hardlinks    int64 `json:"hardlinks"` // further names of an inode, and links to files of the layers below
	CharDevices  int64 `json:"char_devices"`
	BlockDevices int64 `json:"block_devices"`
	Fifos        int64 `json:"fifos"`
	Sockets      int64 `json:"sockets"`
	Whiteouts    int64 `json:"whiteouts"`
	Bytes        int64 `json:"bytes"` // sizes of the regular files, with holes
}

// Add counts an entry of a source or a sink.
func (c *Counts) Add(e *Entry) {
	if e.Hardlink != "" {
		c.Entries++
		c.Hardlinks++
		return
	}
	c.AddInode(e, 1)
}

// AddInode counts an inode with so many names, 1 and up.
func (c *Counts) AddInode(e *Entry, names int64) {
	c.Entries += names
	if e.IsLower() {
		c.Hardlinks += names
		return
	}
	c.Hardlinks += names - 1
	switch e.Type {
	case File:
		c.Files++
		c.Bytes += e.Size
	case Dir:
		c.Directories++
	case Link:
		c.Symlinks++
	case Char:
		if e.IsWhiteout() {
			c.Whiteouts++
		} else {
			c.CharDevices++
		}
	case Block:
		c.BlockDevices++
	case Fifo:
		c.Fifos++
	case Socket:
		c.Sockets++
	}
}
