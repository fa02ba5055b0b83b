# make demo, without what needs the network.

load helpers
setup() { common_setup; }

@test "the demonstration image goes all the way" {
	need_root
	need getcap
	run --separate-stderr "$REPO/tests/shell/demo.sh"
	assert_status 0
	[[ $output == *'oci-fetch oci:demo/image:demo | tar2tree | tree2erofs > demo/rootfs.erofs'* ]] || show "no pipeline"
	[[ $output == *$'\nchecked\n'* ]] || show "not checked"
	[[ $output == *'the second layer replaced this'* ]] || show "the mounted image is not what it should be"
	[[ $output != *old.conf* ]] || show "a file that was whited out is there"
	[[ $output == *'bin/ping cap_net_raw=ep'* ]] || show "the capability is lost"
}
