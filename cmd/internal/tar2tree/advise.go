package tar2tree

import (
	"cmp"
	"errors"
	"strings"

	"ocipipe/lib/compression"
	"ocipipe/lib/input"
	"ocipipe/lib/layer"
	"ocipipe/lib/oci"
)

// Advise names the flag or the command that helps against err, or returns "".
func (t *tool) Advise(err error) string {
	var (
		misplaced *input.MisplacedError
		end       *layer.EndError
		other     *oci.NotImageError
	)
	if hint := cmp.Or(t.ImageLimits.Advise(err), t.Look.Advise(err, t.Inputs)); hint != "" {
		return hint
	}
	switch {
	case errors.As(err, &other) && other.Directory && t.Look.AdviseFirst(t.Inputs) != "":
		return t.Look.AdviseFirst(t.Inputs)
	case errors.As(err, new(*input.UndecidedError)):
		return "--input=layer or --input=image says which"
	case errors.As(err, &misplaced) && misplaced.AfterImage:
		return "one image and layers above it can be merged; if all but the first are layers: --input=image"
	case errors.As(err, &misplaced):
		return "name the image first and then the layers above it; if all are layers: --input=layer"
	case errors.As(err, new(*input.NotImageError)):
		return "if it is a layer that begins with a name of image archives: --input=layer"
	case errors.As(err, &end) && end.Unterminated:
		return "if it is whole all the same: --allow-unterminated, or --diff-id DIGEST"
	case errors.Is(err, layer.ErrZeroDevice):
		return "--allow-zero-device drops such entries"
	}
	return cmp.Or(t.Choice.Advise(err), unpackFirst(err, t.Inputs))
}

// unpackFirst returns the command line that reads an input in a compression that is not
// supported, or "".
func unpackFirst(err error, paths []string) string {
	var unread *compression.Error
	switch {
	case !errors.As(err, &unread) || len(paths) > 1:
		return ""
	case paths[0] == "-":
		return "... | " + unread.Unpacker + " | tar2tree"
	}
	return unread.Unpacker + " " + shellLine(paths[0]) + " | tar2tree"
}

// piped returns the command line with standard input in place of the first input.
func (t *tool) piped() []string {
	if len(t.Inputs) == 1 {
		return []string{"tar2tree"}
	}
	return append([]string{"tar2tree", "-"}, t.Inputs[1:]...)
}

// shellLine returns a command, quoted for a shell.
func shellLine(words ...string) string {
	for i, w := range words {
		if strings.ContainsFunc(w, needsQuotes) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

func needsQuotes(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r))
}
