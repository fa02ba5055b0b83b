package osfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// StateOf returns the state of f.
func StateOf(f *os.File) (s State, err error) {
	err = Control(f, func(fd uintptr) error {
		var i windows.ByHandleFileInformation
		err := windows.GetFileInformationByHandle(windows.Handle(fd), &i)
		s = State{
			id:    ID{uint64(i.VolumeSerialNumber), uint64(i.FileIndexHigh)<<32 | uint64(i.FileIndexLow)},
			size:  int64(i.FileSizeHigh)<<32 | int64(i.FileSizeLow),
			mtime: i.LastWriteTime.Nanoseconds(),
		}
		return err
	})
	return s, err
}

// AttrOf returns what the system says of the file of info: nothing of owners and hard links.
// Windows does not know what may be executed, so all of it may, as in images that docker
// builds there.
func AttrOf(info fs.FileInfo) Attr { return Attr{Mode: 0o755, Links: 1} }

// Allocated returns how many bytes the file of info takes on its disk: on this system, its
// length.
func Allocated(info fs.FileInfo) int64 { return info.Size() }
