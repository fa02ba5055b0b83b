package layer

import "testing"

// The sum of a block that is all ones is the largest there is.
func TestSumBytes(t *testing.T) {
	b := make([]byte, blockSize)
	want := int64(0)
	for i := range b {
		b[i] = byte(255 - i*i%7)
		want += int64(b[i])
	}
	if got := sumBytes(b); got != want {
		t.Errorf("sum %d, expected %d", got, want)
	}
	for i := range b {
		b[i] = 0xFF
	}
	if got := sumBytes(b); got != blockSize*0xFF {
		t.Errorf("sum of ones %d", got)
	}
}
