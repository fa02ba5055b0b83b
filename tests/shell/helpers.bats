# The assertions of helpers.bash, each with a wrong answer.

load helpers
setup() { common_setup; }

# refused COMMAND... succeeds if COMMAND fails.
refused() {
	if ("$@") 2>/dev/null; then
		fail "accepted: $*"
	fi
}

# refused_with TEXT COMMAND... succeeds if COMMAND fails and says TEXT.
refused_with() {
	local said
	if said=$("${@:2}" 2>&1); then
		fail "accepted: ${*:2}"
	fi
	[[ $said == *"$1"* ]] || fail "said: $said"
}

@test "assert_error tells apart" {
	status=1 output='' stderr='tool: where: cause'
	assert_error tool 1 'where: cause'
	refused assert_error tool 2 'where: cause'
	refused assert_error other 1 'where: cause'
	refused assert_error tool 1 'elsewhere'
	stderr=$'tool: where: cause\ntool: hint: do this'
	assert_error tool 1 'where: cause'
	stderr=$'tool: where: cause\ntool: more'
	refused assert_error tool 1 'where: cause'
	stderr='' output=''
	refused assert_error tool 1 ''
	stderr='tool: where: cause' output='x'
	refused assert_error tool 1 'where: cause'
	assert_stderr_line tool 'where: cause'
}

@test "assert_ok tells apart" {
	status=0 output='data' stderr=''
	assert_ok
	assert_output data
	refused assert_output dat
	stderr='tool: warning: x'
	refused assert_ok
	status=1 stderr=''
	refused assert_ok
}

@test "assert_no_debris tells apart" {
	touch a .b
	assert_no_debris a .b
	refused assert_no_debris a
	refused assert_no_debris a .b c
	touch "$TMPDIR/x"
	refused assert_no_debris a .b
}

@test "assert_empty tells apart" {
	touch empty
	echo x >full
	assert_empty empty
	refused assert_empty full
	refused assert_empty missing
}

@test "interrupted sends the signal" {
	interrupted TERM sleep 60
	assert_status 143
	interrupted INT sh -c 'echo begun; exec sleep 60'
	assert_status 130
	[ "$(<out)" = begun ]
	local busy # does not wait
	sh -c 'while :; do :; done' 3>&- &
	busy=$!
	run settled $busy 1
	kill -s KILL $busy
	assert_status 1
	[[ $output == *"process $busy does not wait"* ]] || show "another message"
	# It is sent to what waits, however long that takes.
	interrupted TERM sh -c 'i=0; while [ $i -lt 1000000 ]; do i=$((i + 1)); done; echo later; exec sleep 60'
	assert_status 143
	[ "$(<out)" = later ]
}

@test "interrupted sends the signal where it was ignored" {
	run --separate-stderr bash -c 'trap "" INT HUP; . "$0"/tests/shell/helpers.bash; for signal in INT HUP; do interrupted $signal sleep 10; echo $status; done' "$REPO"
	assert_output $'130\n129'
}

@test "a test that goes on for too long is ended" {
	(
		export TMPDIR=$BATS_TEST_TMPDIR/other
		watch_test 0.5 2>said
		status=0
		# An orphan that holds the pipe which the shell reads to its end.
		output=$(bash -c 'sleep 60 &'; exec sleep 60) || status=$?
		assert_status 137
	)
	[[ $(<said) == "this test took longer than 0.5"* ]] || fail "said: $(<said)"
}

@test "a test that waits for nothing that it has started is ended" {
	mkfifo never
	status=0
	bash -c 'timeout() { [ "$1" = 30 ] && set -- 0.2 "${@:2}"; command timeout "$@"; }
		. "$0/tests/shell/helpers.bash"; export -n TMPDIR; watch_test 0.2; exec 8>never' "$REPO" || status=$?
	assert_status 137
}

@test "on_terminal is a terminal" {
	on_terminal 'test -t 1 && exit 7'
	assert_status 7
}

@test "a missing tool skips, and fails under CI" {
	PATH=$PWD CI=true refused_with 'jq is not installed' need jq
	refused_with 'no-such-tool is not in lib/reftest/tools.txt' need no-such-tool
}

@test "small images are the same each time" {
	small_layer a.tar
	small_layer b.tar
	cmp a.tar b.tar
	demo_image demo
	[ -s demo/index.json ]
}

@test "recipe and recipes_are_run tell apart" {
	printf '%s\n' text '' '    one' '    more' '' '- text' '' '    two' >README.md
	[ "$(recipe "README.md" 'one')" = $'one\nmore' ] || fail "$(recipe README.md one)"
	[ "$(recipe README.md)" = $'one\nmore\ntwo' ] || fail "$(recipe README.md)"
	refused_with 'README.md has no recipe with: three' recipe README.md three
	refused_with 'no test runs this:     two' recipes_are_run README.md
	recipes_are_run README.md two
	BATS_TEST_FILENAME=README.md refused_with 'no test runs this:     one' recipes_are_run README.md two
}
