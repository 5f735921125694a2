#!/usr/bin/env bash
# build.sh: installs the development dependencies, compiles the library, its tests and its examples, and prints the folder that has
# them: a copy of this one, in $DATASTREAM_CACHE, so that the checkout stays as it is. Does nothing if nothing has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
modules=$(./install.sh)

hash_of() { sha256sum "$@" | sha256sum | cut -c1-12; }
vectors=protocol/tests/vectors/events.json
mapfile -t sources < <(find src test examples -type f | sort)
sources+=(README.md LICENSE package.json package-lock.json tsconfig.json tsconfig.tests.json eslint.config.js)
built=$modules/builds/$(hash_of "${sources[@]}" "../../$vectors")

exec 9>"$modules/lock"
flock 9
if [ ! -e "$built/done" ]; then
  rm -rf "$built"
  # The tests find what they read of the repository where they find it in the checkout.
  mkdir -p "$built/clients/typescript" "$built/$(dirname "$vectors")"
  cp "../../$vectors" "$built/$vectors"
  cp --parents "${sources[@]}" "$built/clients/typescript"
  cd "$built/clients/typescript"
  ln -s "$modules/node_modules" node_modules
  npm run --silent build >&2
  npm run --silent build:tests >&2
  touch "$built/done"
fi
echo "$built/clients/typescript"
