#!/bin/sh
# firecracker-api.sh SOCKET CONFIG sends what firecracker.json says to the API of a Firecracker
# that runs already, drives in their order, and starts the machine. It needs curl and jq.
set -eu
put() { curl -sSf --unix-socket "$socket" -X PUT -H 'Content-Type: application/json' -d "$2" "http://localhost/$1"; }
socket=${1:?which socket} config=${2:?which configuration}
put machine-config "$(jq -c '."machine-config"' "$config")"
put boot-source "$(jq -c '."boot-source"' "$config")"
jq -c '.drives[]' "$config" | while read -r drive; do
	put "drives/$(printf '%s\n' "$drive" | jq -r .drive_id)" "$drive"
done
put actions '{"action_type": "InstanceStart"}'
