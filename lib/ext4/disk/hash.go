package disk

import "math/bits"

// NameHash is the hash of a name, which decides its place in a hashed directory: leaves are
// in order of Major, then of Minor.
type NameHash struct {
	Major uint32 // even: in an index, the lowest bit has another meaning (htreeEntry)
	Minor uint32
}

// hashEOF is reserved by the kernel for the end of a directory (EXT4_HTREE_EOF_32BIT).
const hashEOF = 0x7FFFFFFF

// defaultHashSeed is the initial state of MD4, the seed if the superblock has none.
var defaultHashSeed = [4]uint32{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476}

// HashName is ext4's hash of a name with half of MD4 (__ext4fs_dirhash in
// fs/ext4/hash.c). Bytes above 127 count as negative numbers unless unsigned is true; the
// superblock says which of the two a file system uses.
func HashName(name string, seed [4]uint32, unsigned bool) NameHash {
	state := seed
	if seed == [4]uint32{} {
		state = defaultHashSeed
	}
	for rest := name; len(rest) > 0; rest = rest[min(len(rest), 32):] {
		words := hashWords(rest, unsigned)
		halfMD4(&state, &words)
	}
	major := state[1] &^ 1
	if major == hashEOF<<1 {
		major = (hashEOF - 1) << 1
	}
	return NameHash{major, state[2]}
}

// hashWords packs the first 32 bytes of s into words, padded with the length of s
// (str2hashbuf).
func hashWords(s string, unsigned bool) (words [8]uint32) {
	pad := uint32(len(s)) | uint32(len(s))<<8
	pad |= pad << 16
	for i := range words {
		words[i] = pad
		for k := 4 * i; k < min(4*i+4, len(s)); k++ {
			c := uint32(s[k])
			if !unsigned {
				c = uint32(int8(s[k]))
			}
			words[i] = c + words[i]<<8
		}
	}
	return words
}

// halfMD4 mixes words into state: eight of the sixteen steps of each round of MD4.
func halfMD4(state *[4]uint32, words *[8]uint32) {
	const root2, root3 = 0x5A827999, 0x6ED9EBA1
	a, b, c, d := state[0], state[1], state[2], state[3]
	step := func(f, word uint32, shift int) {
		a, b, c, d = d, bits.RotateLeft32(a+f+word, shift), b, c
	}
	for i, k := range [8]int{0, 1, 2, 3, 4, 5, 6, 7} {
		step(d^b&(c^d), words[k], [4]int{3, 7, 11, 19}[i%4])
	}
	for i, k := range [8]int{1, 3, 5, 7, 0, 2, 4, 6} {
		step(b&c+(b^c)&d, words[k]+root2, [4]int{3, 5, 9, 13}[i%4])
	}
	for i, k := range [8]int{3, 7, 2, 6, 1, 5, 0, 4} {
		step(b^c^d, words[k]+root3, [4]int{3, 9, 11, 15}[i%4])
	}
	state[0] += a
	state[1] += b
	state[2] += c
	state[3] += d
}
