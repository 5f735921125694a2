#!/usr/bin/env bash
# install.sh [advisories|fuzz|release]: install what `make test` and `make lint` need and this machine lacks, or what the target of
# that name needs. Does nothing where all is there.
#
# Debian packages (as root, or with sudo), and tools of cargo, at the versions named here, into $DATASTREAM_CACHE/tools.
set -euo pipefail
cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
deny=0.20.2
fuzz=0.13.2
cyclonedx=0.5.9

there() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || { echo "install.sh: $tool is missing: install Rust (rustup), Go, Node.js with npm, Python, make and a C compiler first" >&2; exit 1; }
  done
}
there cargo make cc

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
install_packages() {
  [ ${#packages[@]} -gt 0 ] || return 0
  local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  echo "install.sh: installing ${packages[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -q >&2
  $sudo apt-get install -qy --no-install-recommends "${packages[@]}" >&2
}
cargo_tool() { # NAME VERSION
  [ ! -x "$cache/tools/bin/$1" ] || ! grep -qF "\"$1 $2 " "$cache/tools/.crates.toml" 2>/dev/null || return 0
  echo "install.sh: installing $1 $2 (some minutes, once)" >&2
  CARGO_TARGET_DIR=$cache/target-tools cargo install "$1" --version "$2" --locked --root "$cache/tools" >&2
}

case ${1:-} in
  '') there go node npm python3 ;;
  advisories)
    cargo_tool cargo-deny "$deny"
    exit ;;
  release)
    cargo_tool cargo-cyclonedx "$cyclonedx"
    exit ;;
  fuzz)
    need c++ g++ # compiles libFuzzer
    install_packages
    cargo_tool cargo-fuzz "$fuzz"
    exit ;;
  *) echo "install.sh: unknown argument: $1 (only advisories, fuzz or release)" >&2; exit 1 ;;
esac

need openssl openssl
need flock util-linux # test environments of the client libraries are made once
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
need column bsdextrautils
need curl curl
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
need valgrind valgrind # counts instructions
[ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
install_packages
cargo_tool cargo-deny "$deny"
