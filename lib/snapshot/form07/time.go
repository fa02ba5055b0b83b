package form07

import (
	"time"

	"ocipipe/lib/snapshot/form06"
)

// timeForm has nine digits after the point, always.
const timeForm = "2006-01-02T15:04:05.000000000Z07:00"

// Time returns the normal form of an RFC 3339 time: UTC, with Z and nine digits after the
// point; further ones are cut off.
func Time(s string) (string, error) {
	s, err := form06.Time(s)
	if err != nil {
		return "", err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return FormatTime(t), err
}

// FormatTime returns t, of the years 0 to 9999, in the form of Time.
func FormatTime(t time.Time) string { return t.UTC().Format(timeForm) }
