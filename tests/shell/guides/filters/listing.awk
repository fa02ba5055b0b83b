# Makes a listing of a stream without data that can be compared with another one: a line for
# each file, in the order of their paths, without times. Usage:
#
#     erofs2tree --no-data --digest rootfs.erofs | awk -f listing.awk > listing
#
# Written from lib/tree/FORMAT.md alone. Nothing is written, and the exit code is 1, where the
# stream is cut short: a listing is whole, or empty. (awk does not tell whether the last line
# ends in LF, and cannot compute the CRC.)

NR == 1 {
	if ($0 != "#mtree ocipipe-tree 1 data=none") fault("not a stream without data")
	next
}

ended { fault("data behind the end line") }

/^#end / {
	end = "#end records=" n + 0 " bytes=0"
	crc = substr($0, length(end) + 1)
	if (index($0, end) != 1 || crc != "" && (crc !~ /^ crc32=[0-9a-fA-F]+$/ || length(crc) != 15)) fault("wrong end line")
	ended = 1
	next
}

/^#abort message=/ { fault(substr($0, 16)) }

!/^\.(\/[^ ]+)? / { fault("neither record nor end line") }

{
	# Words are separated by one space, and a name has none in it: no field is empty.
	line = $1
	for (i = 2; i <= NF; i++) if ($i !~ /^time=/) line = line " " $i
	lines[++n] = line
}

END {
	if (failed) exit 1
	if (!ended) fault("stream is cut short")
	for (i = 1; i <= n; i++) print lines[i] | "LC_ALL=C sort"
	if (close("LC_ALL=C sort")) fault("sort failed")
}

function fault(why) {
	print "listing.awk: line " NR ": " why > "/dev/stderr"
	failed = 1
	exit 1
}
