#!/usr/bin/env bash
# test.sh: checks that src/bodies.ts is current, lints and tests the library, packs it, and uses the package in a folder that has nothing else. Needs node and npm; the
# test in a browser runs where chromium is (CHROMIUM names another one), the test against a gateway where DATASTREAM_BIN names the
# program datastream.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./bodies.sh --check
built=$(./build.sh)
cd "$built"
npm run --silent lint
node --test build/test/*.test.js

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" >/dev/null
mkdir "$work/user"
cd "$work/user"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --offline "$work"/datastream-client-*.tgz
cat >user.ts <<'TS'
import { connect, type DatastreamEvent, type DatapointEvent, type LocationBody } from "datastream-client";

const placeOf = ({ lat, long }: LocationBody): string => `${lat}, ${long}`;
const describe = (event: DatastreamEvent): string => {
  if (event.eventType === "location") return placeOf(event.body);
  return event.eventType === "datapoint" ? valueOf(event) : event.json;
};
const valueOf = (event: DatapointEvent): string => event.rawValue ?? "";
const stream = connect("wss://streams.example.com/stream?stream_key=0", { seqStart: "7" });
console.log(stream.position, typeof describe);
await stream.close();
TS
for options in "--module nodenext" "--module esnext --moduleResolution bundler"; do
  # shellcheck disable=SC2086 # two options each
  "$built/node_modules/.bin/tsc" --strict --target es2022 --lib es2022,dom $options user.ts
done
[ "$(node user.js)" = "7 function" ] || { echo "test.sh: the package does not work" >&2; exit 1; }
echo "test.sh: the packed package works"
