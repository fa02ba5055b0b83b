package disk

// xxh32 is the 32-bit hash of the xxHash family.
func xxh32(s string, seed uint32) uint32 {
	const (
		p1 = 2654435761
		p2 = 2246822519
		p3 = 3266489917
		p4 = 668265263
		p5 = 374761393
	)
	word := func(i int) uint32 {
		return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
	}
	rotate := func(v uint32, n uint) uint32 { return v<<n | v>>(32-n) }
	h, n := seed+p5, uint32(len(s))
	if len(s) >= 16 {
		v := [4]uint32{seed, seed, seed, seed}
		v[0] += p1
		v[0] += p2
		v[1] += p2
		v[3] -= p1
		for ; len(s) >= 16; s = s[16:] {
			for i := range v {
				v[i] = rotate(v[i]+word(4*i)*p2, 13) * p1
			}
		}
		h = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) + rotate(v[3], 18)
	}
	h += n
	for ; len(s) >= 4; s = s[4:] {
		h = rotate(h+word(0)*p3, 17) * p4
	}
	for i := range len(s) {
		h = rotate(h+uint32(s[i])*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
