package ocimaterialize

import (
	"errors"
	"fmt"
	"strings"

	"ocipipe/lib/cli"
	"ocipipe/lib/ext4"
	"ocipipe/lib/materialize"
)

// upper is a flag that holds SIZE=FILE.
type upper materialize.Upper

// UnmarshalText parses the value of the flag.
func (u *upper) UnmarshalText(text []byte) error {
	size, path, found := strings.Cut(string(text), "=")
	if !found || path == "" {
		return fmt.Errorf("%q is not SIZE=FILE, such as 4G=upper.ext4", text)
	}
	n, err := cli.ParseSize(size)
	if err != nil {
		return err
	}
	if n < ext4.MinUpper || n > ext4.MaxSize {
		return fmt.Errorf("%s: an upper disk has 64M to 64T", size)
	}
	u.Size, u.Path = n, path
	return nil
}

// text returns what is printed of r: its JSON, or the paths that --print names.
func (t *tool) text(r *materialize.Result) []byte {
	var paths []string
	switch t.Print {
	case "":
		return r.JSON()
	case "layers":
		for _, l := range r.Layers {
			paths = append(paths, l.Path)
		}
	case "fsmeta":
		paths = append(paths, r.Fsmeta.Path)
	case "vmdk":
		paths = append(paths, r.VMDK.Path)
	case "flat":
		paths = append(paths, r.Flat.Path)
	case "upper":
		paths = append(paths, r.Upper.Path)
	}
	return []byte(strings.Join(paths, "\n") + "\n")
}

// adviseRoom returns a hint for an ext4 image that is too small for its content, or "". The
// sizes of the tool are its only flags about that.
func adviseRoom(err error) string {
	var room *ext4.RoomError
	switch {
	case !errors.As(err, &room):
		return ""
	case room.Size != 0:
		return fmt.Sprintf("--size %dM is enough", room.Size>>20)
	}
	return "without --size it follows from the content"
}
