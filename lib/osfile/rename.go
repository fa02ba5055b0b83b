package osfile

import "time"

// persist calls change again, after pauses that double, while it fails in a way that passes:
// for about a second.
func persist(change func() error, passes func(error) bool) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := change()
		if err == nil || !passes(err) || wait > time.Second/2 {
			return err
		}
		time.Sleep(wait)
	}
}
