package read

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"

	"ocipipe/lib/blockio"
	"ocipipe/lib/erofs/disk"
)

// Device is a file or disk: an image, or a device with data of an image.
type Device struct {
	Name string // for messages
	R    io.ReaderAt
	Size int64
}

// Devices makes devices of files, which are regular files or disks. A file that is given
// several times, also under other names, is one device: file i is device of[i]. The caller
// closes the files.
func Devices(files []*os.File) (devices []Device, of []int, err error) {
	var infos []os.FileInfo
	for _, f := range files {
		info, err := f.Stat()
		if err != nil {
			return nil, nil, err
		}
		i := slices.IndexFunc(infos, func(other os.FileInfo) bool { return os.SameFile(info, other) })
		if i < 0 {
			size, err := f.Seek(0, io.SeekEnd)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: cannot be read at random: %w", f.Name(), err)
			}
			i = len(devices)
			infos, devices = append(infos, info), append(devices, Device{f.Name(), f, size})
		}
		of = append(of, i)
	}
	return devices, of, nil
}

// Device returns the image as a device, for another image that has its data there.
func (img *Image) Device(name string) Device {
	return Device{name, img.own.R, img.own.Size}
}

// device is a Device with a cache of pages that were read.
type device struct {
	Device
	pages *blockio.Pages
}

// prefix is the beginning of a message about the device. It is empty for the image itself.
func (p *device) prefix() string {
	if p.Name == "" {
		return ""
	}
	return p.Name + ": "
}

// deviceRange is a range of blocks that belongs to a device.
type deviceRange struct {
	first, end int64
	device     int
}

// device returns the device with this number; 0 is the image itself.
func (img *Image) device(device int) *device {
	if device == 0 {
		return &img.own
	}
	return &img.extra[device-1]
}

func (img *Image) deviceName(device int) string {
	if device == 0 {
		return "the image"
	}
	return "device " + img.extra[device-1].Name
}

// checkLength compares the number of blocks in the superblock with the blocks that exist.
// The superblock of an image with a table of devices counts only the image's own blocks.
func (img *Image) checkLength(devices []Device) error {
	have := img.own.Size
	if img.super.Incompat&disk.IncompatDevices == 0 {
		for _, d := range devices {
			have += d.Size
		}
	}
	if length := int64(img.super.Blocks) * img.bs; length > have {
		return corrupt(have, "image is cut short: it should have %d bytes", length)
	}
	return nil
}

// readDevices reads the table of devices. It finds the devices among those given, or in the
// image itself.
func (img *Image) readDevices(given []Device) error {
	if img.super.Incompat&disk.IncompatDevices != 0 {
		if err := img.readSlots(); err != nil {
			return err
		}
	} else if err := img.makeSlots(given); err != nil {
		return err
	}
	if len(given) > 0 && len(given) != len(img.devices) {
		return fmt.Errorf("image has its data on %d devices, and %d are given", len(img.devices), len(given))
	}
	for _, d := range given {
		img.extra = append(img.extra, device{d, blockio.NewPages(d.R)})
	}
	for i := range img.devices {
		if err := img.checkDevice(i); err != nil {
			return err
		}
	}
	return img.unify()
}

func (img *Image) readSlots() error {
	off, n := img.super.DeviceTable(), int64(img.super.ExtraDevices)
	if off+n*disk.DeviceSlotSize > img.own.Size {
		return corrupt(off, "table of %d devices is beyond the end of the image", n)
	}
	for i := range n {
		var b [disk.DeviceSlotSize]byte
		if err := img.read(b[:], off+i*disk.DeviceSlotSize); err != nil {
			return err
		}
		slot := disk.DecodeDeviceSlot(b[:])
		if img.super.Incompat&disk.Incompat48Bit != 0 && slot.High != 0 {
			return unsupported(off+i*disk.DeviceSlotSize, "device %d beyond 2^32 blocks, with 48-bit addresses", i+1)
		}
		img.devices = append(img.devices, slot)
	}
	return nil
}

// makeSlots makes a table of the devices that were given, for an image without one.
func (img *Image) makeSlots(given []Device) error {
	end := img.own.Size
	for _, d := range given {
		if end%img.bs != 0 || (end+d.Size)/img.bs > disk.MaxBlocks {
			return fmt.Errorf("%s: cannot follow at byte %d: the blocks have %d bytes, and there are up to 2^32", d.Name, end, img.bs)
		}
		img.devices = append(img.devices, disk.DeviceSlot{First: uint32(end / img.bs), Blocks: uint32(d.Size / img.bs)})
		end += d.Size
	}
	return nil
}

// checkDevice compares device i with its slot, if the device was given or follows the image
// in the same file.
func (img *Image) checkDevice(i int) error {
	slot := &img.devices[i]
	d, ok := img.deviceAt(i)
	if !ok {
		return nil
	}
	size := int64(slot.Blocks) * img.bs
	err := identify(slot, d.R)
	if err == nil && d.Size < size {
		err = fmt.Errorf("has %d bytes, expected %d", d.Size, size)
	}
	if err != nil {
		return fmt.Errorf("device %d, %s: %w", i+1, d.Name, err)
	}
	return nil
}

// deviceAt returns device i; ok is false if it is not at hand.
func (img *Image) deviceAt(i int) (d Device, ok bool) {
	slot := &img.devices[i]
	switch {
	case img.extra != nil:
		return img.extra[i].Device, true
	case img.holds(slot):
		at, end := int64(slot.First)*img.bs, img.endOf(slot)
		return Device{fmt.Sprintf("at block %d", slot.First), io.NewSectionReader(img.own.R, at, end-at), end - at}, true
	}
	return d, false
}

// HasDeviceTable reports whether the image itself has the table that DeviceTable returns.
func (img *Image) HasDeviceTable() bool { return img.super.Incompat&disk.IncompatDevices != 0 }

// DevicesSize is the length in bytes of the devices that Open was given.
func (img *Image) DevicesSize() (n int64) {
	for i := range img.extra {
		n += img.extra[i].Size
	}
	return n
}

// DevicesAtHand reports whether every device is at hand: Open was given it, or it follows the image.
func (img *Image) DevicesAtHand() bool {
	for i := range img.devices {
		if _, ok := img.deviceAt(i); !ok {
			return false
		}
	}
	return true
}

// DeviceImages opens the devices as images: the layers that an image of metadata alone merges.
// ok is false if one of them is not at hand, or is something else.
func (img *Image) DeviceImages() (devices []Device, images []*Image, ok bool) {
	for i := range img.devices {
		d, ok := img.deviceAt(i)
		if !ok {
			return nil, nil, false
		}
		layer, err := Open(d.R, d.Size)
		if err != nil {
			return nil, nil, false
		}
		devices, images = append(devices, d), append(images, layer)
	}
	return devices, images, len(images) > 0
}

// identify checks that r holds the image whose UUID is the tag of s. It accepts anything if
// the tag is not a UUID, and also a tar, because mkfs.erofs gives a UUID as tag to a tar to
// which an image refers.
func identify(s *disk.DeviceSlot, r io.ReaderAt) error {
	want, ok := s.UUID()
	if !ok {
		return nil
	}
	var head [disk.SuperOffset + disk.SuperSize]byte
	if _, err := r.ReadAt(head[:], 0); err != nil && err != io.EOF {
		return err
	}
	super, isImage := disk.FindSuperblock(head[:])
	if isImage && super.UUID != want {
		return fmt.Errorf("is the image with the UUID %x, expected %x", super.UUID, want)
	} else if !isImage && string(head[257:262]) != "ustar" {
		return fmt.Errorf("is not an EROFS image, expected the one with the UUID %x", want)
	}
	return nil
}

// holds reports whether the device of slot follows the image in the same file.
func (img *Image) holds(slot *disk.DeviceSlot) bool {
	return slot.First > 0 && slot.End()*img.bs <= img.own.Size
}

// endOf is the offset of the end of a device that follows the image in the same file. Early
// versions of mkfs.erofs do not store its length.
func (img *Image) endOf(slot *disk.DeviceSlot) int64 {
	if slot.Blocks == 0 {
		return img.own.Size
	}
	return slot.End() * img.bs
}

// unify sorts the devices by their addresses, for resolve.
func (img *Image) unify() error {
	for i, slot := range img.devices {
		if slot.First > 0 && slot.Blocks > 0 {
			img.unified = append(img.unified, deviceRange{int64(slot.First), slot.End(), i + 1})
		}
	}
	slices.SortFunc(img.unified, func(a, b deviceRange) int { return cmp.Compare(a.first, b.first) })
	for i := 1; i < len(img.unified); i++ {
		if a, b := img.unified[i-1], img.unified[i]; a.end > b.first {
			return corrupt(disk.SuperOffset, "devices %d and %d have blocks in common", a.device, b.device)
		}
	}
	return nil
}

// resolve returns the device that has the block, and the number of the block there. block
// is an address that runs through all devices.
func (img *Image) resolve(block int64) (device int, at int64) {
	i := sort.Search(len(img.unified), func(i int) bool { return img.unified[i].end > block })
	if i < len(img.unified) && img.unified[i].first <= block {
		return img.unified[i].device, block - img.unified[i].first
	}
	return 0, block
}
