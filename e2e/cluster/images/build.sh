#!/usr/bin/env bash
# build.sh OUT: write the images of Dockerfile beside this file into the folder OUT, as OCI archives pause.tar and ingress.tar.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# A program of Debian's with the libraries that it names.
take() {
  local root=$work/context/$1 program=$2
  install -D -m755 "$program" "$root/$program"
  # A static program names none.
  { ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true; } | sort -u | while read -r library; do
    install -D -m755 "$library" "$root/$library"
  done
}
take pause /usr/bin/catatonit
take ingress /usr/sbin/nginx
# What nginx looks for wherever its configuration is.
mkdir -p "$work/context/ingress"/{etc,var/log/nginx,var/lib/nginx,tmp}
echo 'nginx:x:65532:65532::/:/sbin/nologin' >"$work/context/ingress/etc/passwd"
echo 'nginx:x:65532:' >"$work/context/ingress/etc/group"

store=(--storage-driver vfs --root "$work/store" --runroot "$work/run")
for image in pause ingress; do
  buildah "${store[@]}" build --quiet --format oci --timestamp 0 --target "$image" --tag "localhost/$image:1" \
    -f "$here/Dockerfile" "$work/context" >/dev/null
  rm -f "$out/$image.tar"
  buildah "${store[@]}" push --quiet "localhost/$image:1" "oci-archive:$out/$image.tar:localhost/$image:1"
done
