package disk

// Needs are what a machine needs to mount a file system for writing.
type Needs struct {
	Linux    string   // the oldest version that can: "4.0" or later
	Config   []string // options of the kernel, without CONFIG_
	Features []string // that a kernel has to know, as mke2fs and dumpe2fs call them
}

// oldestLinux is the first version that this project takes care of.
const oldestLinux = "4.0"

// Needs returns what the feature words of s say.
func (s *Superblock) Needs() Needs {
	n := Needs{Linux: oldestLinux, Config: []string{"EXT4_FS"}, Features: append(s.Incompat.names(), s.RoCompat.names()...)}
	for _, later := range []struct { // in the order of the versions
		has   bool
		linux string
	}{
		{s.Incompat&IncompatEncrypt != 0, "4.1"},
		{s.Incompat&IncompatCsumSeed != 0, "4.4"},
		{s.RoCompat&RoCompatProject != 0, "4.5"},
		{s.Incompat&(IncompatLargeDir|IncompatEAInode) != 0, "4.13"},
		{s.Incompat&IncompatCasefold != 0, "5.2"},
		{s.RoCompat&RoCompatVerity != 0, "5.4"},
		{s.RoCompat&RoCompatOrphans != 0, "5.15"},
	} {
		if later.has {
			n.Linux = later.linux
		}
	}
	return n
}
