// Init is the only program of the demonstration image. As the first process of a
// machine it shows its root file system and switches the machine off.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func main() {
	motd, err := os.ReadFile("/etc/motd")
	if err != nil {
		fmt.Println("init:", err)
	}
	fmt.Printf("init: ocipipe demo, /etc/motd says: %s", motd)
	if os.Getpid() != 1 {
		return
	}
	fs.WalkDir(os.DirFS("/"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Println("init:", err)
			return nil
		}
		if info, err := d.Info(); err == nil {
			fmt.Println(info.Mode(), info.Size(), "/"+path)
		}
		return nil
	})
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
