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
//	 72    4 High    high bits of both, 16 each                        0 without 48-bit addresses
//	 76   52 -       0
type DeviceSlot struct {
	Tag    [DeviceTagSize]byte
	Blocks uint32
	First  uint32
	High   uint32
}

// Encode writes s to b, which is DeviceSlotSize zero bytes.
func (s *DeviceSlot) Encode(b []byte) {
	copy(b, s.Tag[:])
	binary.LittleEndian.PutUint32(b[DeviceTagSize:], s.Blocks)
	binary.LittleEndian.PutUint32(b[DeviceTagSize+4:], s.First)
	binary.LittleEndian.PutUint32(b[DeviceTagSize+8:], s.High)
}

// DecodeDeviceSlot decodes the DeviceSlotSize bytes of b.
func DecodeDeviceSlot(b []byte) DeviceSlot {
	return DeviceSlot{
		Tag:    [DeviceTagSize]byte(b),
		Blocks: binary.LittleEndian.Uint32(b[DeviceTagSize:]),
		First:  binary.LittleEndian.Uint32(b[DeviceTagSize+4:]),
		High:   binary.LittleEndian.Uint32(b[DeviceTagSize+8:]),
	}
}

// DeviceSumSize is the size of a DeviceSum in bytes. An inode can follow it.
const DeviceSumSize = NidUnit

const deviceSumMagic = "\xffocipipe"

// DeviceSum is in an image whose data is on devices, but that has no table of them: it follows
// the superblock and the records of compression, at a multiple of NidUnit. It is not of the format, which has no
// use for these bytes; only this project writes and reads it.
//
//	off size field   meaning
//	  0    8 -       0xff, "ocipipe"; no inode begins with 0xff
//	  8    4 Blocks  of the image itself; the superblock counts those of the devices, too
//	 12    4 -       0
//	 16   16 Sum     hash of the tags of the devices, one after the other
type DeviceSum struct {
	Blocks uint32
	Sum    [16]byte
}

// Encode writes s to b, which is DeviceSumSize zero bytes.
func (s *DeviceSum) Encode(b []byte) {
	copy(b, deviceSumMagic)
	binary.LittleEndian.PutUint32(b[8:], s.Blocks)
	copy(b[16:], s.Sum[:])
}

// DecodeDeviceSum decodes the DeviceSumSize bytes of b; ok is false if they are something
// else.
func DecodeDeviceSum(b []byte) (s DeviceSum, ok bool) {
	return DeviceSum{Blocks: binary.LittleEndian.Uint32(b[8:]), Sum: [16]byte(b[16:])}, string(b[:8]) == deviceSumMagic
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
