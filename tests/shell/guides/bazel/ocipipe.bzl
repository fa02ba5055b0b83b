"""Disks of virtual machines, made of an image in an OCI layout in the source tree."""

def _tools(*names):
    return ["@ocipipe//:" + name for name in names]

def _run(tool):
    return "$(location @ocipipe//:%s)" % tool

def _path(layout):
    return "%s/%s" % (native.package_name() or ".", layout)

def oci_rootfs(name, layout):
    """NAME.erofs: the merged layers of an image.

    Args:
      name: of the target
      layout: directory of the layout in this package; it holds one image
    """
    native.genrule(
        name = name,
        srcs = native.glob([layout + "/**"]),
        outs = [name + ".erofs"],
        cmd = " | ".join([
            "%s %s" % (_run("tar2tree"), _path(layout)),
            "%s -o $@" % _run("tree2erofs"),
        ]),
        tools = _tools("tar2tree", "tree2erofs"),
    )

def oci_disk(name, layout, layers):
    """NAME.vmdk: the same tree as one disk of layers, with metadata that merges them.

    Its extents NAME-fsmeta.erofs, NAME-000.erofs, NAME-001.erofs, ... lie beside it. A layer
    depends on its own blob alone, so that another image over the same base makes only what is
    new.

    Args:
      name: of the target, which is all these files
      layout: directory of the layout in this package; it holds one image
      layers: from bottom to top, the "layers" of oci-fetch --list --json
    """
    blobs = ["%s/blobs/%s" % (layout, layer["digest"].replace(":", "/")) for layer in layers]
    images = ["%s-%s.erofs" % (name, ("00%d" % i)[-3:]) for i in range(len(layers))]
    for i in range(len(layers)):
        native.genrule(
            name = "%s_%d" % (name, i),
            srcs = [blobs[i]],
            outs = [images[i]],
            cmd = " | ".join([
                "%s --input layer --diff-id %s $<" % (_run("tar2tree"), layers[i]["diffId"]),
                "%s --quiet --layer -o $@" % _run("tree2erofs"),
            ]),
            tools = _tools("tar2tree", "tree2erofs"),
        )

    fsmeta = name + "-fsmeta.erofs"
    paths = " ".join(["$(location %s)" % image for image in images])
    native.genrule(
        name = name + "_fsmeta",
        srcs = images + native.glob([layout + "/**"], exclude = blobs),
        outs = [fsmeta],
        cmd = "\n".join([
            "listed=$$'%s'" % "\\n".join([layer["digest"] for layer in layers]),
            "found=$$(%s --list --digests oci:%s)" % (_run("oci-fetch"), _path(layout)),
            "[ \"$$found\" = \"$$listed\" ] || { echo 'the image has other layers than are listed' >&2; exit 1; }",
            "%s --fsmeta -o $@ %s" % (_run("tree2erofs"), paths),
        ]),
        tools = _tools("oci-fetch", "tree2erofs"),
    )
    native.genrule(
        name = name + "_vmdk",
        srcs = [fsmeta] + images,
        outs = [name + ".vmdk"],
        cmd = "%s -o $@ $(location %s) %s" % (_run("wrap-vmdk"), fsmeta, paths),
        tools = _tools("wrap-vmdk"),
    )
    native.filegroup(
        name = name,
        srcs = [name + ".vmdk", fsmeta] + images,
    )

def upper_disk(name, size, root):
    """NAME.ext4: a writable disk for an overlay over a root file system.

    Args:
      name: of the target
      size: such as 4G; the file is sparse
      root: EROFS image whose root directory gives /upper its attributes
    """
    native.genrule(
        name = name,
        srcs = [root],
        outs = [name + ".ext4"],
        cmd = "%s --size %s --root-from $(location %s) -o $@" % (_run("mkext4upper"), size, root),
        tools = _tools("mkext4upper"),
    )
