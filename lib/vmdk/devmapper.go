package vmdk

import (
	"bytes"
	"fmt"
	"strings"
)

// DeviceMapper returns a table for dmsetup create that makes a device of the disk. Tables
// name block devices: DeviceMapper warns of each extent that is a file, which has to be
// attached to a loop device first.
func (d *Disk) DeviceMapper(warn func(string)) ([]byte, error) {
	var b bytes.Buffer
	real := realDirs{}
	for _, e := range d.extents {
		path, err := real.path(e.path)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(path, " \t\n\v\f\r\\\x00") {
			return nil, fmt.Errorf("%w: %q: a table has no spaces and backslashes in names", ErrUnsupported, path)
		}
		if !e.node && warn != nil {
			warn(fmt.Sprintf("%s: is a file: dmsetup wants the loop device that it is attached to", e.path))
		}
		fmt.Fprintf(&b, "%d %d linear %s 0\n", e.start/SectorSize, e.size/SectorSize, path)
	}
	return b.Bytes(), nil
}
