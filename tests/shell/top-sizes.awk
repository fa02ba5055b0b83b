# Sums up the sizes of the files below each top directory, from a list without data:
#
#     tar2tree --no-data layer.tar | awk -f top-sizes.awk
#
# Written from lib/tree/FORMAT.md alone. Names of a hard link count once, at the file. Fails
# where the list is cut short.

BEGIN { records = 0 }

NR == 1 {
	if ($0 != "#mtree ocipipe-tree 1 data=none") fault("not a list without data")
	next
}

ended { fault("data behind the end line") }

/^#end / {
	if ($2 != "records=" records || $3 != "bytes=0") fault("wrong end line")
	ended = 1
	next
}

/^#/ || /^$/ { fault("neither record nor end line") }

{
	records++
	size = 0
	for (i = 2; i <= NF; i++) {
		if ($i ~ /^size=/) size = substr($i, 6)
		if ($i ~ /^hardlink=/) next
	}
	gsub(/\\057/, "/", $1) # then a path can be cut before it is decoded
	n = split($1, part, "/")
	sum[n > 2 ? part[2] : "."] += size
}

END {
	if (failed) exit 1
	if (!ended) fault("cut short")
	for (top in sum) printf "%.0f %s\n", sum[top], top
}

function fault(why) {
	print "top-sizes.awk: line " NR ": " why > "/dev/stderr"
	failed = 1
	exit 1
}
