#!/bin/sh
# restart.sh ARGUMENTS...: run $PROGRAM, and start it anew on SIGHUP, which live update sends once it has replaced it.
#
# SIGTERM and SIGINT are passed on. If the program ends by itself, this ends with its status: Kubernetes shall see a crash.
again=
child=
pass() { [ -z "$child" ] || kill -TERM "$child" 2>/dev/null; }
trap 'again=yes; pass' HUP
trap 'again=never; pass' TERM INT
while :; do
  "$PROGRAM" "$@" &
  child=$!
  # A signal that comes between the last start and here found the old program.
  [ -z "$again" ] || pass
  # A trap ends a wait early.
  while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null || break
  done
  [ "$again" = yes ] || exit "$status"
  again=
done
