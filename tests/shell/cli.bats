# What is the same in every tool.

load helpers
setup() { common_setup; }

tools() { basename -a "$BIN"/*; }

@test "--help shows usage and defaults" {
	for tool in $(tools); do
		run --separate-stderr "$tool" --help
		assert_ok
		[[ $output == "Usage: $tool "* ]] || show "no usage"
		[[ $output == *--quiet* && $output == *--version* ]] || show "no common flags"
	done
}

@test "--version is one line" {
	for tool in $(tools); do
		run --separate-stderr "$tool" --version
		assert_ok
		[[ $output == "$tool "* && $output != *$'\n'* ]] || show "not a version"
	done
}

@test "an unknown flag is a usage error with a hint" {
	for tool in $(tools); do
		run --separate-stderr "$tool" --no-such-flag </dev/null
		assert_error "$tool" 2 'unknown flag --no-such-flag'
		[[ $stderr == *"$tool: hint: see $tool --help" ]] || show "no hint"
	done
}

@test "--help to a full disk fails" {
	for tool in $(tools); do
		run --separate-stderr bash -c "$tool --help > /dev/full"
		assert_error "$tool" 1 'standard output: write: no space left on device'
	done
}

@test "a wrong SOURCE_DATE_EPOCH is refused" {
	for tool in $(tools); do
		input=x
		[[ $tool != mkext4upper ]] || input=--size=64M # takes none
		SOURCE_DATE_EPOCH=today run --separate-stderr "$tool" "$input" </dev/null
		assert_error "$tool" 2 'SOURCE_DATE_EPOCH: "today" is not a number of seconds since 1970'
	done
}

@test "binaries are static" {
	need file
	for tool in $(tools); do
		file "$BIN/$tool" | grep -q 'statically linked' || fail "$tool is not"
	done
}

@test "a signal that was ignored at the start stays ignored" {
	small_layer layer.tar
	tar2tree <layer.tar >want.tree
	mkfifo fifo
	while read -r signal start; do
		read -ra start <<<"$start"
		"${unignored[@]}" "${start[@]}" tar2tree -o out <fifo 2>err 3>&- &
		pid=$!
		exec 8>fifo
		head -c 100000 layer.tar >&8 # more than a pipe holds: it is at work
		kill -s "$signal" $pid
		tail -c +100001 layer.tar >&8
		exec 8>&-
		wait $pid
		cmp want.tree out
		rm out
	done <<-'END'
		HUP nohup
		HUP env --ignore-signal=HUP
		INT env --ignore-signal=INT
	END
}
