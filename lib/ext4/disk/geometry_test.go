package disk

import (
	"slices"
	"testing"
)

func TestBackupGroups(t *testing.T) {
	want := []uint32{0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343}
	if have := BackupGroups(344); !slices.Equal(have, want) {
		t.Errorf("have %d, want %d", have, want)
	}
	if have := BackupGroups(343); !slices.Equal(have, want[:len(want)-1]) {
		t.Errorf("have %d", have)
	}
	for g := range uint32(100_000) {
		s := Superblock{RoCompat: RoCompatSparseSuper}
		if IsBackupGroup(g) != s.HasBackup(uint64(g)) {
			t.Fatalf("group %d", g)
		}
	}
	list := BackupGroups(100_000)
	for _, g := range list {
		if !IsBackupGroup(g) {
			t.Errorf("group %d has a copy", g)
		}
	}
	if len(list) != 2+10+7+5 { // powers of 3, 5 and 7
		t.Errorf("%d groups of 100000 have copies", len(list))
	}
}
