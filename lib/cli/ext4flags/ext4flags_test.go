package ext4flags

import (
	"errors"
	"fmt"
	"testing"

	"ocipipe/lib/exclusive"
	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/grow"
	"ocipipe/lib/ext4/volume"
)

func TestAdvise(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&ext4.RoomError{Lack: ext4.LackMetadata}, "a larger --size, or a smaller --journal"},
		{&ext4.RoomError{Lack: ext4.LackInodes, Inodes: 70000}, "--inodes 70000 is enough"},
		{&ext4.RoomError{Lack: ext4.LackInodes, Size: 384 << 20}, "--size 384M is enough"},
		{&ext4.RoomError{Lack: ext4.LackInodes, Size: 384 << 20, Inodes: 70000}, "--size 384M --inodes 70000 is enough"},
		{&ext4.RoomError{Lack: ext4.LackSpace, Size: 91 << 20, Free: 8<<20 + 4096}, "--size 91M is enough, with 8M free"},
		{&ext4.RoomError{Lack: ext4.LackSpace, Size: 91 << 20, Free: 4096}, "--size 91M is enough"},
		{&ext4.RoomError{Lack: ext4.LackSpace, Have: 1 << 46}, ""},
		{&ext4.RoomError{Lack: ext4.LackGrowth, Have: 1 << 40}, "--max-size raises this, or --size states it"},
		{fmt.Errorf("disk: %w", &grow.SizeError{Movable: true}), "resize2fs grows it further, by moving blocks"},
		{&grow.SizeError{}, ""},
		{fmt.Errorf("disk: %w", &volume.DirtyError{Problem: "it was not unmounted"}), "mount and unmount it once, or let e2fsck -fp put it in order"},
		{fmt.Errorf("disk: %w: attached to /dev/loop7", exclusive.ErrInUse), "unmount it and stop what uses it, or take a copy"},
		{errors.New("something else"), ""},
	} {
		if have := Advise(c.err); have != c.want {
			t.Errorf("%v: %q, want %q", c.err, have, c.want)
		}
	}
}
