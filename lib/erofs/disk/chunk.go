package disk

import "encoding/binary"

// Bits of the chunk format, which is the Data of a chunk-based inode.
const (
	ChunkFormatMask = 0xFFFF
	ChunkBitsMask   = 0x1F // log2 of the number of blocks in a chunk
	ChunkIndexes    = 0x20 // entries of the map are chunk indexes
)

// Lengths of an entry of a chunk map in bytes.
const (
	ChunkIndexSize = 8 // block and device
	ChunkEntrySize = 4 // the block alone
)

// Chunks returns the length of a chunk of a chunk-based inode, and that of an entry of its
// map, both in bytes. Blocks have bs bytes.
func (n *Inode) Chunks(bs int64) (chunk, unit int64) {
	unit = ChunkEntrySize
	if n.Data&ChunkIndexes != 0 {
		unit = ChunkIndexSize
	}
	return bs << (n.Data & ChunkBitsMask), unit
}

// EncodeChunkIndex writes struct erofs_inode_chunk_index to the first ChunkIndexSize
// bytes of b: high bits of the block (2 bytes, always 0 here), number of the device (2,
// always 0 here), block (4). The block of a hole is NullBlock.
func EncodeChunkIndex(b []byte, block uint32) {
	binary.LittleEndian.PutUint64(b, uint64(block)<<32)
}

// DecodeChunkIndex decodes the first ChunkIndexSize bytes of b.
func DecodeChunkIndex(b []byte) (device uint16, block uint32) {
	return binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:])
}

// DecodeChunkEntry decodes the first ChunkEntrySize bytes of b, an entry of a map
// without devices.
func DecodeChunkEntry(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
