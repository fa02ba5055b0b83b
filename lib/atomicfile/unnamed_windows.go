package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"

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

// createUnnamed creates a file that the system removes once it is closed. In messages it is
// called path.
func createUnnamed(dir, path string) (*os.File, error) {
	var f *os.File
	_, err := tryNames(func(name string) error {
		p, err := windows.UTF16PtrFromString(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		h, err := windows.CreateFile(p, windows.GENERIC_READ|windows.GENERIC_WRITE|windows.DELETE,
			windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.CREATE_NEW,
			windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
		if err == nil {
			f = os.NewFile(uintptr(h), path)
		}
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: dir, Err: err}
	}
	allowHoles(f)
	return f, nil
}
