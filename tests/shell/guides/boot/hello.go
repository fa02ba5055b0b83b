// Hello says how it was started. Built with CGO_ENABLED=0 it is a static program, which can
// be an image by itself.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	dir, err := os.Getwd()
	fmt.Printf("argv %q\nenv  %q\ncwd  %q %v\n", os.Args, os.Environ(), dir, err)
	groups, err := os.Getgroups()
	fmt.Printf("uid  %d gid %d groups %d %v\npid 1 is %s\n", os.Getuid(), os.Getgid(), groups, err, first())
	os.Exit(3)
}

// first returns the name of the first process.
func first() string {
	name, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(name))
}
