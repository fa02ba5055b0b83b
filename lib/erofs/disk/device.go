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

// DeviceSlot is struct erofs_deviceslot, an entry of the table of further devices with data
// of the image. Device n has slot n-1.
//
//	off size field   meaning                                          range
//	  0   64 Tag     identifies it: a UUID as hex digits, or any text NUL-padded
//	 64    4 Blocks  length of the device
//	 68    4 First   its first block in the addresses that run        0: none
//	                 through the image and all devices
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

// End is the first block after the device, in the addresses that run through all devices.
func (s *DeviceSlot) End() int64 { return int64(s.First) + int64(s.Blocks) }

// TagOf is the tag for the image with the UUID id.
func TagOf(id [16]byte) (tag [DeviceTagSize]byte) {
	hex.Encode(tag[:], id[:])
	return tag
}

// UUID returns the UUID of the image that the device has to be; ok is false if the tag is
// not a UUID in the form that mkfs.erofs and this project write.
func (s *DeviceSlot) UUID() (id [16]byte, ok bool) {
	tag, _, _ := bytes.Cut(s.Tag[:], []byte{0})
	if len(tag) != hex.EncodedLen(len(id)) {
		return id, false
	}
	_, err := hex.Decode(id[:], tag)
	return id, err == nil
}
