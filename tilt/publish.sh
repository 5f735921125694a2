#!/usr/bin/env bash
# publish.sh: publish the events of tilt/samples/$SAMPLE.jsonl, or of all files there, in the cluster of kubectl.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/samples"
sample=${SAMPLE:-all}
[ "$sample" != all ] || sample='*'
# shellcheck disable=SC2086 # the pattern is meant
cat $sample.jsonl | kubectl exec -i -n datastream deployment/simulator -- /app/datastream publish
