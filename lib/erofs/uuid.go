package erofs

import (
	"github.com/zeebo/xxh3"

	"ocipipe/lib/erofs/disk"
)

// contentUUID returns the UUID of an image: of version 8, made of XXH3 with 128 bits over
// sections 3 to 5, which digest has taken, and then sections 1 and 2, which are head. It
// clears UUID and checksum in head.
func contentUUID(digest *xxh3.Hasher, head []byte) [16]byte {
	disk.ClearUUID(head[disk.SuperOffset:])
	digest.Write(head)
	id := digest.Sum128().Bytes()
	id[6] = id[6]&0x0F | 0x80
	id[8] = id[8]&0x3F | 0x80
	return id
}

// sumOfTags is the hash that stands for a table with these slots.
func sumOfTags(slots []disk.DeviceSlot) [16]byte {
	var digest xxh3.Hasher
	for i := range slots {
		digest.Write(slots[i].Tag[:])
	}
	return digest.Sum128().Bytes()
}
