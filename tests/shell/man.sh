#!/bin/bash
# man.sh BIN SHARE: the tools in the directory BIN print their man pages, and the completion for
# bash, zsh and fish, to files in SHARE.
set -euo pipefail

share=$2
mkdir -p "$share"/{man/man1,bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
for path in "$1"/*; do
	tool=${path##*/}
	"$path" --man >"$share/man/man1/$tool.1"
	"$path" --completion=bash >"$share/bash-completion/completions/$tool"
	"$path" --completion=zsh >"$share/zsh/site-functions/_$tool"
	"$path" --completion=fish >"$share/fish/vendor_completions.d/$tool.fish"
done
