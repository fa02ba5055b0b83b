package patch

import (
	"bufio"
	"cmp"
	"io"
	"strings"

	"ocipipe/lib/tree"
)

// WriteChanges writes a line for each of the changes:
//
//	PATH [OLD] -> [NEW]
//
// PATH is that of a tree stream. OLD and NEW are the words that a stream without
// contents has for what was there and for what is there; nothing stands for nothing.
func (r *Result) WriteChanges(w io.Writer) error {
	b := bufio.NewWriter(w)
	for c := range r.Changes() {
		path, old := words(c.Old)
		pathNow, now := words(c.New)
		b.WriteString(cmp.Or(path, pathNow) + old + " ->" + now + "\n") // Flush has its error
	}
	return b.Flush()
}

// words is the record of e, after its path with the space in front. nil has none.
func words(e *tree.Entry) (path, rest string) {
	if e == nil {
		return "", ""
	}
	record := tree.Record(e)
	n := strings.IndexByte(record, ' ')
	return record[:n], record[n:]
}
