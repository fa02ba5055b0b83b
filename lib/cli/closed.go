package cli

import (
	"fmt"
	"os"
)

func (e *Env) checkStdin() error {
	if lacks(e.Stdin, os.O_WRONLY) {
		return fmt.Errorf("%s: is closed or not open for reading", stdinName)
	}
	return nil
}

func (e *Env) checkStdout() error {
	if lacks(e.Stdout, os.O_RDONLY) {
		return fmt.Errorf("%s: is closed or not open for writing", stdoutName)
	}
	if isReplaced(e.Stdout) {
		e.Warn(stdoutName + ": is /dev/null, or was closed: the output is lost")
	}
	return nil
}
