package imageflags

import "ocipipe/lib/cli"

// About says more about the flags, for man pages.
var About = cli.Manual{
	Flags: map[string]string{
		"max-metadata": "It is for each index, manifest and configuration.",
		"max-layer":    "It is for compressed layers in an archive of docker save.",
	},
}

// AboutVMConfig says more about the flag of VMConfig.
var AboutVMConfig = cli.Manual{
	Flags: map[string]string{
		"vm-config": "Three files, for what runs the image without a container engine. config.json has argv, which is entrypoint and then cmd; entrypoint and cmd by themselves; user (empty for root), working_directory, stop_signal, env, exposed_ports, volumes and labels. The others are for a shell: env has the environment (set -a; . DIR/env), and process sets user, working_directory, stop_signal and, as the positional parameters, argv (. DIR/process; exec \"$@\"). All are written before the output, and stay if that fails.",
	},
}
