package disk

import "encoding/binary"

// DirentSize is the length of a Dirent in bytes.
const DirentSize = 12

// Dirent is struct erofs_dirent, an entry of a directory block. The entries are at the
// beginning of the block, followed by their names in the same order. The first name begins
// where the entries end. Each name ends where the next one begins, and the last at a NUL
// or at the end of the data.
//
//	off size field  meaning
//	  0    8 Nid    number of the inode
//	  8    2 Name   offset of the name in the block
//	 10    1 Kind   type of the file, see DirentType
//	 11    1 -      0
type Dirent struct {
	Nid  uint64
	Name uint16
	Kind uint8
}

// Encode writes d to the first DirentSize bytes of b.
func (d Dirent) Encode(b []byte) {
	binary.LittleEndian.PutUint64(b, d.Nid)
	binary.LittleEndian.PutUint16(b[8:], d.Name)
	b[10] = d.Kind
	b[11] = 0
}

// DecodeDirent decodes the first DirentSize bytes of b.
func DecodeDirent(b []byte) Dirent {
	return Dirent{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]), b[10]}
}
