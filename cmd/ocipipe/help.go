package main

import (
	"fmt"
	"strings"

	"ocipipe/lib/cli"
)

// manual returns the texts of --help and the man page. The tools need not wait for it.
func manual() cli.Manual {
	return cli.Manual{
		Name:    self,
		Summary: "Run one of the tools that turn OCI container images into disks.",
		Needs:   "The tools are:\n\n" + table(),
		Description: `All tools are in this one program. Under the name of one of them, as a link to it, it is that tool; the suffix .exe does not count. Otherwise its first argument is the name of the tool, and what follows are the flags and arguments of that. It is a seventh of the size of the tools by themselves, and begins a millisecond later.

The tools are the same as by themselves: output, messages and exit codes. They have man pages of their own, and print them with --man.`,
		Arguments: "A name that is not that of a tool, here or of a link, is an error.",
		Flags: map[string]string{
			"install": "They are symbolic links, except on Windows. They name this program by its name alone if it lies in DIR itself, so that DIR can be moved, or be part of another system, and otherwise by its whole path. A link that is there already is left. If another file has the name of a tool, nothing is made.",
		},
		Examples: []cli.Example{
			{Text: "A tool by its name", Command: "ocipipe tar2tree image.tar | ocipipe tree2erofs -o rootfs.erofs"},
			{Text: "All tools by their names", Command: "mkdir -p links\nocipipe --install links"},
			{Text: "All tools in a directory, which may be moved, for an initramfs", Command: "mkdir -p initramfs/bin\ncp \"$(command -v ocipipe)\" initramfs/bin/\ninitramfs/bin/ocipipe --install initramfs/bin"},
		},
		SeeAlso: names(),
	}
}

// table lists the tools in the form of [cli.Manual.Description].
func table() string {
	var b strings.Builder
	for _, a := range applets {
		fmt.Fprintf(&b, "    %-16s %s\n", a.name, a.about)
	}
	return b.String()
}

func names() (all []string) {
	for _, a := range applets {
		all = append(all, a.name)
	}
	return all
}
