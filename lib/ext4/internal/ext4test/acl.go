package ext4test

import (
	"encoding/binary"

	"ocipipe/lib/tree"
)

// ACL is a list in the form of system calls.
func ACL(entries ...[3]uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return string(b)
}

// NoID is the number in entries of an access control list that have none.
const NoID = 1<<32 - 1

// Two access control lists, one without and one with users and groups by number.
var (
	ShortACL = ACL([3]uint32{1, 7, NoID}, [3]uint32{4, 5, NoID}, [3]uint32{32, 0, NoID})
	LongACL  = ACL([3]uint32{1, 6, NoID}, [3]uint32{2, 7, 70000}, [3]uint32{2, 1, 1}, [3]uint32{4, 4, NoID},
		[3]uint32{8, 5, 1<<32 - 2}, [3]uint32{16, 5, NoID}, [3]uint32{32, 4, NoID})
)

// Xattrs are xattrs from pairs of names and values.
func Xattrs(p ...string) (xs []tree.Xattr) {
	for i := 0; i < len(p); i += 2 {
		xs = append(xs, tree.Xattr{Name: p[i], Value: p[i+1]})
	}
	return xs
}
