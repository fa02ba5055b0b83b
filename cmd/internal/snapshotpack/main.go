// Package snapshotpack is the tool snapshot-pack.
package snapshotpack

import (
	"errors"

	"ocipipe/lib/cli"
	"ocipipe/lib/magic"
	"ocipipe/lib/snapshot"
	"ocipipe/lib/snapshot/archive"
)

type tool struct {
	Create  create  `cmd:"" help:"Make a snapshot of a disk, as an archive or a directory."`
	Verify  verify  `cmd:"" help:"Check snapshots: everything that can be checked."`
	Inspect inspect `cmd:"" help:"Say what a snapshot is, as JSON."`
	Unpack  unpack  `cmd:"" help:"Make directories of the snapshots in an archive."`
}

// Main runs the tool, and does not return.
func Main() {
	cli.Main(manual, &tool{})
}

// Run runs a command.
func (t *tool) Run(env *cli.Env) error {
	switch env.Command {
	case "create":
		return t.Create.run(env)
	case "verify":
		return t.Verify.run(env)
	case "inspect":
		return t.Inspect.run(env)
	}
	return t.Unpack.run(env)
}

// Advise names the flag or the tool that helps.
func (t *tool) Advise(err error) string {
	var limit *archive.LimitError
	var qcow2 *snapshot.Qcow2Error
	var foreign *magic.Error
	switch {
	case errors.As(err, &qcow2) && qcow2.Layers > 0:
		return "convert the last layer: qemu-img convert -O raw layers/LAYER.qcow2 upper.ext4; tar -xf takes an archive apart"
	case errors.As(err, &qcow2):
		return "convert it: qemu-img convert -O raw DISK upper.ext4"
	case errors.Is(err, snapshot.ErrNotDirectory):
		return "snapshot-pack unpack makes directories of an archive"
	case errors.As(err, &foreign) && foreign.Want == magic.Ext4:
		return "mkext4upper makes a disk, and --tree puts a tree stream on it"
	case errors.As(err, new(*snapshot.DirtyError)):
		return "stop what uses the disk, or take it as it is with --allow-dirty"
	case errors.Is(err, snapshot.ErrReflink):
		return "without --reflink the disk is copied"
	case errors.Is(err, snapshot.ErrChanged) && (t.Create.Dir != "" || t.Create.From != ""):
		return "stop what writes to the disk"
	case errors.Is(err, snapshot.ErrChanged):
		return "stop what writes to the disk, or use --dir, which copies it first"
	case errors.Is(err, snapshot.ErrNoImage):
		return "oci-materialize --cache CACHE puts the whole image there"
	case errors.Is(err, snapshot.ErrImageExists):
		return "--images DIR puts the files of the image elsewhere"
	case errors.Is(err, snapshot.ErrExists) && t.Create.Dir == "":
		return "--name NAME unpacks under another name, -C DIR elsewhere"
	case errors.As(err, &limit):
		return "--max-" + limit.What + " raises it"
	}
	return ""
}

// limits are the flags of limits on an archive.
type limits struct {
	Members int   `name:"max-members" default:"10000" placeholder:"N" group:"Limits on the input" help:"Members of an archive."`
	Bytes   int64 `name:"max-bytes" type:"size" default:"64T" placeholder:"SIZE" group:"Limits on the input" help:"Size of all its files, with holes."`
}

func (l *limits) options(env *cli.Env) snapshot.ReadOptions {
	return snapshot.ReadOptions{MaxMembers: int(cli.OrNone(int64(l.Members))), MaxSize: cli.OrNone(l.Bytes), Warn: env.Warn}
}
