package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
)

// Sizes of the table of devices.
const (
	MaxDevices     = 1<<16 - 1
	DeviceSlotSize = 128 // bytes
	DeviceTagSize  = 64  // bytes
)

// DeviceSlot is struct erofs_deviceslot: where more of the data is. Device n has
// slot n-1.
//
//	off size field   meaning                                          range
//	  0   64 Tag     what it is: a UUID as hex digits, or any text    NUL-padded
//	 64    4 Blocks  length of the device
//	 68    4 First   block at which it begins if all devices are      0: nowhere
//	                 one behind the other
//	 72   56 -       0 without 48-bit addresses
type DeviceSlot struct {
	Tag    [DeviceTagSize]byte
	Blocks uint32
	First  uint32
}

// Encode writes s to b, which is DeviceSlotSize zero bytes.
func (s *DeviceSlot) Encode(b []byte) {
	copy(b, s.Tag[:])
	binary.LittleEndian.PutUint32(b[DeviceTagSize:], s.Blocks)
	binary.LittleEndian.PutUint32(b[DeviceTagSize+4:], s.First)
}

// DecodeDeviceSlot decodes the DeviceSlotSize bytes of b.
func DecodeDeviceSlot(b []byte) DeviceSlot {
	return DeviceSlot{
		Tag:    [DeviceTagSize]byte(b),
		Blocks: binary.LittleEndian.Uint32(b[DeviceTagSize:]),
		First:  binary.LittleEndian.Uint32(b[DeviceTagSize+4:]),
	}
}

// End is the block behind the device, by the addresses that all devices have
// together.
func (s *DeviceSlot) End() int64 { return int64(s.First) + int64(s.Blocks) }

// TagOf is the tag that names the image id.
func TagOf(id [16]byte) (tag [DeviceTagSize]byte) {
	hex.Encode(tag[:], id[:])
	return tag
}

// UUID is the UUID of the image that the device has to be, if the tag is one, as
// mkfs.erofs and this project write it.
func (s *DeviceSlot) UUID() (id [16]byte, ok bool) {
	tag, _, _ := bytes.Cut(s.Tag[:], []byte{0})
	if len(tag) != hex.EncodedLen(len(id)) {
		return id, false
	}
	_, err := hex.Decode(id[:], tag)
	return id, err == nil
}
