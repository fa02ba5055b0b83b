# Disks of a virtual machine, made of an archive of docker save, without nixpkgs.
{
  # What dockerTools.buildImage and buildLayeredImage put out.
  image ? ./image.tar.gz,
  # The tools, and busybox for a shell. All are static, so that the sandbox needs nothing else.
  tools ? ./tools,
  upperSize ? "64M",
  system ? builtins.currentSystem,
}:

let
  bin = builtins.path { name = "ocipipe"; path = tools; };

  run = name: env: script: derivation (env // {
    inherit name system;
    builder = "${bin}/busybox";
    args = [ "sh" "-euo" "pipefail" "-c" script ];
    PATH = bin;
  });
in

rec {
  # One root file system.
  rootfs = run "rootfs.erofs" { inherit image; } ''
    tar2tree $image | tree2erofs -o $out
  '';

  # The same tree as one disk of layers: a directory, where disk.vmdk names the other files.
  disk = run "disk" { inherit image; } ''
    busybox mkdir $out layout
    oci-fetch docker-archive:$image | busybox tar -x -C layout
    n=0
    for digest in $(oci-fetch --list --digests oci:layout); do
      oci-fetch --layer $digest oci:layout | tar2tree --input layer |
        tree2erofs --quiet --layer -o $out/$(printf %03d $n).erofs
      n=$((n+1))
    done
    cd $out
    tree2erofs --fsmeta -o fsmeta.erofs 0*.erofs
    wrap-vmdk -o disk.vmdk fsmeta.erofs 0*.erofs
  '';

  # A writable disk for an overlay over rootfs. It has to be copied out of the store.
  upper = run "upper.ext4" { inherit rootfs; } ''
    mkext4upper --size ${upperSize} --root-from $rootfs -o $out
  '';
}
