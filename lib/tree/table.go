package tree

// Table has a T for each inode of a [Tree]: what the holder of the tree notes about the
// inode while it plans, such as a place in an image. The zero Table is empty.
//
// The number of a T is in the Nlink of the inode, where it takes no memory; a map from
// entries to Ts made the EROFS and ext4 writers take half as much time again. So while the
// table is in use, Nlink of the tree's entries is not the number of their links. An entry
// has the Nlink 0 before the first Of: the caller puts it into the tree like that, or
// calls [Tree.ForgetLinks]. Source and CountLinks count links again, and end the table.
//
// A T stays where it is, also when its inode is no longer in the tree.
type Table[T any] struct {
	slabs [][]T
	count uint32
}

const tableSlab = 256 // Ts that are made at a time

// Of is the T of the inode e, the Entry that the tree holds. It is zero when it is asked
// for first.
func (t *Table[T]) Of(e *Entry) *T {
	if e.Nlink == 0 {
		if t.count%tableSlab == 0 {
			t.slabs = append(t.slabs, make([]T, tableSlab))
		}
		t.count++
		e.Nlink = t.count
	}
	i := e.Nlink - 1
	return &t.slabs[i/tableSlab][i%tableSlab]
}

// Share gives e the T of the inode other.
func (t *Table[T]) Share(e, other *Entry) {
	t.Of(other)
	e.Nlink = other.Nlink
}
