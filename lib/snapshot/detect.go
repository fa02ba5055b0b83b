package snapshot

import (
	"strings"

	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/form07"
	"ocipipe/lib/snapshot/strictjson"
)

// check returns what refuses snapshots while they are read.
func (r *receiver) check() func(*form.Info) error {
	if r.quick {
		return nil
	}
	return acceptable
}

// acceptable refuses a snapshot whose disk is not one raw file, and one that requires
// something: nothing is known here that it could be.
func acceptable(info *form.Info) error {
	if len(info.Requires) > 0 {
		return fault.Unsupported("the snapshot requires %.60q, which is not known", info.Requires[0])
	}
	if len(info.Disks) > 1 || len(info.Disks) == 1 && info.Disks[0].Format != form06.Raw {
		return &Qcow2Error{Path: info.ID, Layers: len(info.Disks)}
	}
	return nil
}

// grammarOf returns the grammar of the archive that begins with the member, nil if that is
// one that all forms have: the inventory, or a file of the image.
func grammarOf(name string, check func(*form.Info) error) form.Grammar {
	first, rest, _ := strings.Cut(name, "/")
	switch {
	case name == form06.InventoryName, first == "images":
		return nil
	case first == form07.LayersName, first == "snapshots" && strings.HasPrefix(rest, "snap_"):
		return &form07.Grammar{Check: check}
	}
	return &form06.Grammar{Check: check}
}

// grammarOfInventory returns the grammar of the archive with the inventory.
func grammarOfInventory(data []byte, check func(*form.Info) error) form.Grammar {
	if v, err := strictjson.Parse(data); err == nil && v.Kind == strictjson.Object {
		if s := v.Get("schema"); s != nil && s.Kind == strictjson.String {
			return &form07.Grammar{Check: check}
		}
	}
	return &form06.Grammar{Check: check}
}

// newListing returns the listing of the form, which is that of 0.6 for "".
func newListing(name string) (form.Listing, error) {
	switch name {
	case "", form06.Form:
		return &form06.Listing{}, nil
	case form07.Form:
		return &form07.Listing{}, nil
	}
	return nil, fault.Unsupported("no form %.40q: there are %s and %s", name, form06.Form, form07.Form)
}
