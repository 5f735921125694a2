#!/usr/bin/env bash
# rootfs.sh PROGRAMS OUT: make OUT/PROGRAM, the file system of an image, for each of the project's programs in the folder PROGRAMS.
#
# What goes in depends on nothing but the programs and the C library: no dates, no paths of this machine.
set -euo pipefail
programs=$1 out=$2
for program in datastream-operator datastream-gateway datastream datastream-collector datastream-broker; do
  root=$out/$program
  rm -rf "$root"
  install -D -m755 "$programs/$program" "$root/$program"
  # The id of a build is a hash of what is stripped here, paths of the sources included.
  strip --strip-all --remove-section=.note.gnu.build-id "$root/$program"
  ldd "$root/$program" | grep -o '/[^ ]*' | sort -u | while read -r library; do
    install -D -m755 "$library" "$root/$library"
  done
  mkdir -p "$root/etc"
  echo 'datastream:x:65532:65532:datastream:/:/sbin/nologin' >"$root/etc/passwd"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  find "$root" -type d -exec chmod 755 {} +
  chmod 644 "$root"/etc/*
done
