package form

import (
	"maps"
	"slices"

	"ocipipe/lib/snapshot/fault"
)

// Order returns the snapshots of which parents has the parent each: those before their
// children, the head last. It is an error if one descends from itself.
func Order[ID ~string](parents map[ID]ID, head ID) (order []ID, err error) {
	const visiting, done = 1, 2
	state := map[ID]int{}
	for _, first := range slices.Sorted(maps.Keys(parents)) {
		var chain []ID
		for id := first; state[id] != done; id = parents[id] {
			if _, there := parents[id]; !there {
				break
			}
			if state[id] == visiting {
				return nil, fault.Corrupt("%s is its own ancestor", id)
			}
			state[id] = visiting
			chain = append(chain, id)
		}
		for _, id := range slices.Backward(chain) {
			state[id] = done
			if id != head {
				order = append(order, id)
			}
		}
	}
	return append(order, head), nil
}
