package tree

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads a time as people write it: seconds since 1970, which may be negative and
// have up to nine decimals, or RFC 3339.
func ParseTime(s string) (t Time, ok bool) {
	if rfc, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return TimeOf(rfc), true
	}
	whole, decimals, dot := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.HasPrefix(s, "+") || sec == math.MinInt64 || dot && (decimals == "" || len(decimals) > 9) {
		return t, false
	}
	nsec, err := strconv.ParseUint((decimals + "000000000")[:9], 10, 32)
	if err != nil {
		return t, false
	}
	if nsec != 0 && whole[0] == '-' { // -1.5 is -2 plus half a second
		sec, nsec = sec-1, 1e9-nsec
	}
	return Time{Sec: sec, Nsec: uint32(nsec)}, true
}
