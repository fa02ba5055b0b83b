package lz4_test

import (
	"bytes"
	"fmt"
	"strings"

	"ocipipe/lib/lz4"
)

// Content is cut into blocks of 4096 bytes at most.
func Example() {
	content := []byte(strings.Repeat("all work and no play makes jack a dull boy\n", 100000))
	encoder := lz4.NewEncoder(lz4.Default)
	block := make([]byte, 4096)
	for rest := content; len(rest) > 0; {
		n, taken := encoder.Fill(block, rest)
		decoded := make([]byte, taken)
		if err := lz4.Decode(decoded, block[:n]); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(n, "bytes hold", taken, bytes.Equal(decoded, rest[:taken]))
		rest = rest[taken:]
	}
	// Output:
	// 4096 bytes hold 1031031 true
	// 4096 bytes hold 1031031 true
	// 4096 bytes hold 1031031 true
	// 4096 bytes hold 1031031 true
	// 743 bytes hold 175876 true
}
