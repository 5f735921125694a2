#!/usr/bin/env bash
# release.sh [--check]: make what a release consists of, in dist/. Publishes nothing.
#
#   datastream-IMAGE.tar               the images as `make images` builds them, as OCI archives
#   datastream-VERSION.tgz             the chart
#   datastream-VERSION-TARGET.tar.gz   the programs that the images hold, and datastream-collector
#   PROGRAM-VERSION.cdx.json           what each program is made of: a bill of materials (CycloneDX)
#   SHA256SUMS                         of all of these, written last: without it, the folder is not complete
#
# Fails in one line if the checkout is not what a commit says, or if it does not agree on its version. --check does nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${CARGO_TARGET_DIR:=target}"

fail() { echo "release.sh: $*" >&2; exit 1; }

check=
case ${1:-} in
  '') ;;
  --check) check=yes ;;
  *) fail "unknown argument: $1 (only --check)" ;;
esac

changed=$(git status --porcelain) || fail "git cannot tell what has changed: run it in a checkout with git"
[ -z "$changed" ] || fail "the checkout differs from its commit: commit or remove $(cut -c4- <<<"$changed" | head -3 | paste -sd' ')" \
  "(paths: $(wc -l <<<"$changed"))"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
chart() { sed -n "s/^$1: *\"\{0,1\}\([^\"]*\)\"\{0,1\} *$/\1/p" charts/datastream/Chart.yaml; }
# The first section with a version, or Unreleased if there is an entry in it.
newest=$(awk '/^## / { name = $2; gsub(/[][]/, "", name) } name != "" && (name != "Unreleased" || /^- /) { print name; exit }' CHANGELOG.md)
for other in "$(chart version)" "$(chart appVersion)" "$newest"; do
  [ "$other" = "$version" ] || fail "the versions differ: Cargo.toml has $version, Chart.yaml has version $(chart version) and appVersion $(chart appVersion)," \
    "the newest section of CHANGELOG.md is ${newest:-missing}"
done
tags=$(git tag --points-at HEAD --list 'v*')
[ -z "$tags" ] || grep -qxF "v$version" <<<"$tags" || fail "the tag of this commit is $(paste -sd' ' <<<"$tags"), but its version is $version"

if [ -n "$check" ]; then
  echo "release.sh: this commit can be released as $version"
  exit 0
fi

scripts/install.sh release
rm -rf dist
mkdir dist
IMAGE_OUT=$PWD/dist make --no-print-directory images

helm=$(e2e/cluster/build.sh helm)/helm
"$helm" package charts/datastream --destination dist

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target=$(rustc -vV | sed -n 's/^host: //p')
name=datastream-$version-$target
# What the images get, too: nothing is compiled again.
images/rootfs.sh "$CARGO_TARGET_DIR/release" "$work/rootfs"
for root in "$work"/rootfs/*; do
  install -D "$root/${root##*/}" "$work/$name/${root##*/}"
done
install -m644 LICENSE "$work/$name/LICENSE"
# Without the time and the owner, so that a second build is the same.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --use-compress-program='gzip -n' -C "$work" -cf "dist/$name.tar.gz" "$name"

# The tool writes beside the sources: into a copy of them. Neither the place of that copy nor the time gets into what is released.
mkdir "$work/source"
git archive HEAD | tar -x -C "$work/source"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) cargo cyclonedx --manifest-path "$work/source/Cargo.toml" --quiet \
  --format json --spec-version 1.5 --describe binaries --target "$target"
for program in "$work/$name"/datastream*; do
  program=${program##*/}
  bom=$(find "$work/source" -name "${program}_bin.cdx.json")
  [ -n "$bom" ] || fail "there is no bill of materials of $program"
  sed "s|$work/source|.|g" "$bom" >"dist/$program-$version.cdx.json"
done

(cd dist && LC_ALL=C && sha256sum -- *) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" dist/
libc=$(objdump -T "$work/$name"/datastream* | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
echo "release.sh: $version is in dist/; its programs need the GNU C library ${libc#GLIBC_} or later. Nothing was published."
