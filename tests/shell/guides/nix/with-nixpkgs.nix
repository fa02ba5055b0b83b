# The same with nixpkgs: disks of an image that dockerTools builds.
{ pkgs ? import <nixpkgs> { } }:

let
  ocipipe = pkgs.runCommand "ocipipe" { } ''
    mkdir -p $out/bin
    cp ${./tools}/* $out/bin
  '';

  image = pkgs.dockerTools.buildLayeredImage {
    name = "hello";
    contents = [ pkgs.hello ];
    config.Cmd = [ "/bin/hello" ];
  };

  rootfs = pkgs.runCommand "rootfs.erofs" { nativeBuildInputs = [ ocipipe ]; } ''
    tar2tree ${image} | tree2erofs -o $out
  '';

  upper = pkgs.runCommand "upper.ext4" { nativeBuildInputs = [ ocipipe ]; } ''
    mkext4upper --size 64M --root-from ${rootfs} -o $out
  '';
in

{ inherit rootfs upper; }
