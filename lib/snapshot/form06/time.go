package form06

import (
	"regexp"
	"sync"
	"time"

	"ocipipe/lib/snapshot/fault"
)

// Seconds of 60 are refused: package time does not know them.
var timeForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)
})

// Time returns the normal form of an RFC 3339 time: UTC, with Z, and with as many digits
// after the point as it takes, nine at most; further ones are cut off.
func Time(s string) (string, error) {
	m := timeForm().FindStringSubmatchIndex(s)
	if m == nil || len(s) > 100 {
		return "", fault.Corrupt("created_at: %.60q is not a time such as 2024-01-31T12:00:00Z", s)
	}
	fraction, zone := "", s[m[6]:]
	if m[4] >= 0 {
		fraction = s[m[4]:min(m[5], m[4]+len(".123456789"))]
	}
	if zone == "z" {
		zone = "Z"
	}
	t, err := time.Parse(time.RFC3339Nano, s[:10]+"T"+s[m[2]:m[3]]+fraction+zone)
	if err == nil {
		t = t.UTC()
		if t.Year() < 0 || t.Year() > 9999 {
			err = fault.Corrupt("outside of the years 0 to 9999")
		}
	}
	if err != nil {
		return "", fault.Corrupt("created_at: %.60q is not a time: %v", s, err)
	}
	return FormatTime(t), nil
}

// FormatTime returns t, of the years 0 to 9999, in the form of Time.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
