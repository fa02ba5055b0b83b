// Package ext4flags is what the tools share that make ext4 file systems: advice about errors of
// lib/ext4, in the words of their flags, and what a report says of a file system.
package ext4flags

import (
	"errors"
	"fmt"
	"strings"

	"ocipipe/lib/exclusive"
	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/grow"
	"ocipipe/lib/ext4/volume"
)

// Advise returns a hint for an error of lib/ext4, of a package below it, or of lib/exclusive,
// or "".
func Advise(err error) string {
	var room *ext4.RoomError
	var size *grow.SizeError
	var dirty *volume.DirtyError
	switch {
	case errors.As(err, &room):
		return adviseRoom(room)
	case errors.As(err, &size) && size.Movable:
		return "resize2fs grows it further, by moving blocks"
	case errors.Is(err, exclusive.ErrInUse):
		return "unmount it and stop what uses it, or take a copy"
	case errors.As(err, &dirty):
		return "mount and unmount it once, or let e2fsck -fp put it in order"
	}
	return ""
}

func adviseRoom(e *ext4.RoomError) string {
	var flags []string
	if e.Size != 0 {
		flags = append(flags, fmt.Sprintf("--size %dM", e.Size>>20))
	}
	if e.Inodes != 0 {
		flags = append(flags, fmt.Sprintf("--inodes %d", e.Inodes))
	}
	hint := strings.Join(flags, " ") + " is enough"
	switch {
	case e.Lack == ext4.LackMetadata:
		return "a larger --size, or a smaller --journal"
	case e.Lack == ext4.LackGrowth:
		return "--max-size raises this, or --size states it"
	case flags == nil:
		return ""
	case e.Lack == ext4.LackSpace && e.Free >= 1<<20:
		return fmt.Sprintf("%s, with %dM free", hint, e.Free>>20)
	}
	return hint
}
