// ocipipe is all tools in one program: it runs the one that it is called as, by a link of that
// name, or the one that its first argument names.
//
//	ocipipe tar2tree image.tar | ocipipe tree2erofs > rootfs.erofs
package main

import (
	"io"
	"os"
	"strings"

	"ocipipe/cmd/internal/erofs2tree"
	"ocipipe/cmd/internal/erofspatch"
	"ocipipe/cmd/internal/ext42tree"
	"ocipipe/cmd/internal/mkext4upper"
	"ocipipe/cmd/internal/ocicache"
	"ocipipe/cmd/internal/ocicommit"
	"ocipipe/cmd/internal/ocifetch"
	"ocipipe/cmd/internal/ocimaterialize"
	"ocipipe/cmd/internal/ocipush"
	"ocipipe/cmd/internal/snapshotpack"
	"ocipipe/cmd/internal/tar2tree"
	"ocipipe/cmd/internal/tree2erofs"
	"ocipipe/cmd/internal/tree2ext4"
	"ocipipe/cmd/internal/tree2tar"
	"ocipipe/cmd/internal/wrapvmdk"
	"ocipipe/lib/cli"
)

// self is the name of this program.
const self = "ocipipe"

// applet is a tool that this program can be.
type applet struct {
	name, about string
	main        func() // does not return
}

// applets are in the order of their names.
var applets = []applet{
	{"erofs-patch", "apply changes to an image", erofspatch.Main},
	{"erofs2tree", "EROFS image to tree stream", erofs2tree.Main},
	{"ext42tree", "ext4 image or upper disk to tree stream", ext42tree.Main},
	{"mkext4upper", "writable ext4 disk for an overlay", mkext4upper.Main},
	{"oci-cache", "list, remove, prune and verify what is in the cache", ocicache.Main},
	{"oci-commit", "a new image of a base and layers", ocicommit.Main},
	{"oci-fetch", "an image from a registry or a file", ocifetch.Main},
	{"oci-materialize", "an image to all that a virtual machine needs", ocimaterialize.Main},
	{"oci-push", "an image to a registry", ocipush.Main},
	{"snapshot-pack", "pack, check and unpack snapshots of disks", snapshotpack.Main},
	{"tar2tree", "layer tars or an image to tree stream", tar2tree.Main},
	{"tree2erofs", "tree stream to EROFS image", tree2erofs.Main},
	{"tree2ext4", "tree stream to ext4 image", tree2ext4.Main},
	{"tree2tar", "tree stream to tar archive", tree2tar.Main},
	{"wrap-vmdk", "images to one virtual disk", wrapvmdk.Main},
}

func main() {
	a, args := choose(os.Args)
	os.Args = args
	if a != nil {
		a.main()
	}
	cli.Main(manual(), &tool{})
}

// choose returns the applet that args, the words of the command line, ask for, and what it gets
// as its own. It returns nil where this program is asked for itself.
func choose(args []string) (*applet, []string) {
	if len(args) == 0 {
		return nil, []string{self}
	}
	name := called(args[0])
	if a := named(name); a != nil {
		return a, args
	}
	first := ""
	if len(args) > 1 {
		first = args[1]
	}
	if a := named(first); a != nil {
		return a, args[1:]
	}
	if !strings.HasPrefix(name, self) { // a version or a platform may follow
		return nil, []string{self, "--", name}
	}
	if !strings.HasPrefix(first, "-") && first != "" {
		return nil, []string{self, "--", first} // its flags are not for us
	}
	return nil, args
}

// called returns the name in path, without what systems with other separators and suffixes add.
func called(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	if n := len(name) - len(".exe"); n > 0 && strings.EqualFold(name[n:], ".exe") {
		name = name[:n]
	}
	return name
}

func named(name string) *applet {
	for i := range applets {
		if applets[i].name == name {
			return &applets[i]
		}
	}
	return nil
}

type tool struct {
	Tool string   `arg:"" optional:"" completion:"erofs-patch erofs2tree ext42tree mkext4upper oci-cache oci-commit oci-fetch oci-materialize oci-push snapshot-pack tar2tree tree2erofs tree2ext4 tree2tar wrap-vmdk" help:"Name of the tool to run."`
	Args []string `arg:"" optional:"" passthrough:"" help:"Flags and arguments of the tool."`

	List    bool   `xor:"what" help:"Print the names of the tools."`
	Install string `xor:"what" placeholder:"DIR" help:"Make a link for each tool in DIR."`

	cli.TextOutput
}

// Run does what this program does itself.
func (t *tool) Run(env *cli.Env) error {
	switch {
	case named(t.Tool) != nil:
		return cli.Usage("%s: a tool is the first argument, and its flags follow", t.Tool)
	case t.Tool != "":
		return cli.Hint(cli.Usage("%q is not a tool", t.Tool), "see "+self+" --list")
	case t.List:
		return list(env, t.Path)
	case t.Path != "":
		return cli.Usage("--output is for --list")
	case t.Install != "":
		return install(t.Install)
	}
	return cli.Hint(cli.Usage("the name of a tool is missing"), "see "+self+" --list")
}

// list prints the names, one a line.
func list(env *cli.Env, path string) error {
	out, err := env.Stream(path, cli.Text)
	if err != nil {
		return err
	}
	for _, a := range applets {
		if _, err := io.WriteString(out, a.name+"\n"); err != nil {
			return err
		}
	}
	return out.Commit()
}
