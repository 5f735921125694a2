#!/bin/sh
# Prints the events of a stream, batch after batch: batches.sh URL SEQ
# A batch counts once it has come whole: its last line says where the next one starts.
next=$2
while true; do
  batch=$(curl --silent --show-error --fail-with-body \
    --header "Authorization: Bearer $STREAM_KEY" \
    "$1?seq_start=$next&limit=500&wait=20&markers=1")
  end=$(printf '%s\n' "$batch" | sed -n 's/^{"control":"close".*"seq_start":"\([0-9]*\)"}$/\1/p')
  if [ -n "$end" ]; then
    printf '%s\n' "$batch" | grep '^{"seq"'
    next=$end
  else
    printf '%s\n' "$batch" | grep '^{"error"' >&2
  fi
  # A stream that has caught up would give a batch for each event: let some more of them come.
  [ "$(printf '%s\n' "$batch" | grep -c '^{"seq"')" -eq 500 ] || sleep 1
done
