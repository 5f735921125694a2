#!/usr/bin/env bash
# install.sh: install what `make test` and `make lint` need and this machine lacks. Does nothing where all is there.
#
# Debian packages (as root, or with sudo) and cargo-deny, at the version named here, into $DATASTREAM_CACHE/tools.
set -euo pipefail
cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
deny=0.20.2

for tool in cargo go make cc; do
  command -v "$tool" >/dev/null || { echo "install.sh: $tool is missing: install Rust (rustup), Go, make and a C compiler first" >&2; exit 1; }
done

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need openssl openssl
need column bsdextrautils
need chromium chromium
need chromedriver chromium-driver
# The server's programs are not in PATH.
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
need faketime faketime # sets the clocks of processes
need buildah buildah # images without a Docker engine
# A node that runs pods, and what its pods are made of.
need containerd containerd
need runc runc
need ip iproute2 # also makes the networks that tests cut
need nft nftables
need catatonit catatonit
need nginx nginx-light
[ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
if [ ${#packages[@]} -gt 0 ]; then
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  echo "install.sh: installing ${packages[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -q >&2
  $sudo apt-get install -qy --no-install-recommends "${packages[@]}" >&2
fi

if [ "$("$cache/tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $deny" ]; then
  echo "install.sh: installing cargo-deny $deny (some minutes, once)" >&2
  CARGO_TARGET_DIR=$cache/target-tools cargo install cargo-deny --version "$deny" --locked --root "$cache/tools" >&2
fi
