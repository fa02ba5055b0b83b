# What is the same in every tool.

load helpers
load registries
setup() { common_setup; }
teardown() { stop_registries; }

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
		[[ $tool != erofs-patch ]] || input=--lower=x
		[[ $tool != snapshot-pack ]] || input=verify
		[[ $tool != oci-cache ]] || input=verify
		[[ $tool != oci-commit ]] || input=--base=x
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

# inputs makes what the tools read; works TOOL are arguments with which it works.
inputs() {
	demo_image image
	registries_setup
	bad_registry -behave '{"Push": true}'
	small_layer layer.tar
	tar2tree layer.tar -o in.tree
	tree2erofs in.tree -o in.erofs
	mkext4upper --size 64M -o upper.ext4
}

works() {
	case $1 in
	oci-fetch) echo oci:image:demo ;;
	oci-push) echo "$reg/r:v1" image ;;
	oci-materialize) echo --cache=cache --print=vmdk oci:image:demo ;;
	oci-commit) echo --base=oci:image:demo --dry-run ;;
	oci-cache) echo ls --cache=image ;;
	ocipipe) echo --list ;;
	tar2tree) echo - --input=layer ;;
	erofs2tree) echo in.erofs ;;
	ext42tree) echo upper.ext4 ;;
	erofs-patch) echo --lower=- ;;
	mkext4upper) echo --size=64M --tree=- ;;
	wrap-vmdk) echo --format=stream in.erofs ;;
	snapshot-pack) echo create --upper=upper.ext4 --image="x@sha256:$(printf '%064d' 1)" ;;
	*) echo - ;;
	esac
}

# standard_input TOOL is the file that it reads so, or /dev/null.
standard_input() {
	case $1 in
	tar2tree) echo layer.tar ;;
	mkext4upper | erofs-patch | tree2*) echo in.tree ;;
	*) echo /dev/null ;;
	esac
}

@test "a closed standard output is an error, and /dev/null is not" {
	inputs
	for tool in $(tools); do
		args=$(works "$tool")
		in=$(standard_input "$tool")
		for to in '>&-' '1</dev/null'; do
			run --separate-stderr bash -c "$tool $args <$in $to"
			assert_error "$tool" 1 'standard output: is closed or not open for writing'
		done
		for to in '>/dev/null' '>>/dev/null' '1<>/dev/null' '1<>/dev/null 2>&1'; do
			run --separate-stderr bash -c "$tool $args <$in $to"
			assert_ok
		done
		run --separate-stderr bash -c "$tool $args -o /dev/stdout <$in >&-"
		assert_error "$tool" 1 /dev/stdout
		run --separate-stderr bash -c "$tool --help >&-"
		assert_error "$tool" 1 'standard output: is closed or not open for writing'
		run --separate-stderr bash -c "$tool --version >&- <&-"
		assert_error "$tool" 1 'standard output: is closed or not open for writing'
	done
}

@test "a closed standard output is nothing to -o" {
	inputs
	for tool in $(tools); do
		args=$(works "$tool")
		in=$(standard_input "$tool")
		run --separate-stderr bash -c "$tool $args -o there <$in >&-"
		assert_ok
		run --separate-stderr bash -c "$tool $args <$in | cmp - there"
		assert_ok
		rm there
	done
}

@test "a closed standard input is an error where it is read" {
	inputs
	for tool in $(tools); do
		args=$(works "$tool")
		for from in '<&-' '0>/dev/null'; do
			run --separate-stderr bash -c "$tool $args $from | cat; exit \${PIPESTATUS[0]}"
			if [ "$(standard_input "$tool")" = /dev/null ]; then
				assert_status 0
			else
				assert_status 1
				assert_stderr_line "$tool" 'standard input: is closed or not open for reading'
			fi
		done
	done
}

@test "a closed standard error leaves the exit code, and nothing in the output" {
	inputs
	for tool in $(tools); do
		args=$(works "$tool")
		in=$(standard_input "$tool")
		run --separate-stderr bash -c "$tool $args <$in >want && $tool $args <$in 2>&- | cmp - want"
		assert_ok
		run --separate-stderr bash -c "$tool --no-such-flag 2>&-"
		assert_status 2
		assert_output ''
		run --separate-stderr bash -c "$tool $args <&- 2>&- >&-"
		assert_status 1
		run --separate-stderr bash -c "$tool $args -o /nowhere/out <$in 2>&-"
		assert_status 1
		assert_output ''
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
