package osfile

import (
	"path/filepath"
	"strings"
)

// Volume returns how many bytes at the beginning of path name a disk or a share, as C: does in
// C:\dir. A colon there ends nothing. C:dir, which is relative, has none: nobody could tell it
// from a path C and what follows a colon. It is 0 where the system has no such names.
func Volume(path string) int { return volume(path, filepath.VolumeName(path)) }

// volume is Volume on a system for which name is the volume of path.
func volume(path, name string) int {
	rest := path[len(name):]
	if isDrive := len(name) == 2 && name[1] == ':'; isDrive && (rest == "" || rest[0] != '\\' && rest[0] != '/') {
		return 0
	}
	return len(name)
}

// fold returns what all names have in common that Windows takes for the same one, whatever
// their case and the dots and spaces at their ends.
func fold(name string) string { return strings.ToLower(strings.TrimRight(name, ". ")) }
