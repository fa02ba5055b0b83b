package atomicfile

import (
	"os"

	"golang.org/x/sys/windows"
)

// allowHoles makes what is never written to f take no space, where the file system can do
// that: on Windows only if it was told.
func allowHoles(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	c.Control(func(fd uintptr) {
		var n uint32
		windows.DeviceIoControl(windows.Handle(fd), windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &n, nil)
	})
}
