package main

// pushInto is a shell line that writes the script {work}/NAME, which pushes {work}/layout with
// command to a repository of the registry $1 that does not exist yet, $ref, and writes the name
// to $2.
func pushInto(name, command string) string {
	return `printf 'ref=$1/` + name + `$$:` + fetchTag + `; ` + command + ` >&2 && echo $ref >$2' > {work}/` + name + `; `
}

// pushRows are about images into a registry. Skopeo remembers which repository has which layer,
// and would take over what an earlier run has pushed: each of its runs has a memory of its own.
func pushRows() []row {
	return []row{{
		name: "push", work: "image of five layers, 500 MB, from a layout to docker-registry on this machine",
		list: `oci-fetch --no-cache --manifest $(cat {out})`, missing: dockerRegistryMissing, serve: dockerRegistry,
		prepare: pushInto("ours", "oci-push $ref {work}/layout") +
			pushInto("one", "oci-push -j1 $ref {work}/layout") +
			pushInto("skopeo", "_CONTAINERS_ROOTLESS_UID=1 XDG_DATA_HOME={work}/data$$ skopeo copy --insecure-policy --quiet --preserve-digests --dest-tls-verify=false oci:{work}/layout docker://$ref") +
			pushInto("crane", "crane push --insecure {work}/layout $ref") +
			makeLayout + "5x100000000 layout {work}/layout",
		contenders: []contender{
			{name: "ours", line: "sh {work}/ours {host} {out}"},
			{name: "ours, one layer at a time", line: "sh {work}/one {host} {out}"},
			{name: "skopeo copy", line: "sh {work}/skopeo {host} {out}", missing: needs("skopeo")},
			{name: "crane push, which does not verify", line: "sh {work}/crane {host} {out}", missing: needs("crane")},
		},
	}}
}
