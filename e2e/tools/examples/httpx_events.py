"""Prints the events of a stream, which come as server-sent events: httpx_events.py URL SEQ"""

import os
import sys
import time

import httpx
from httpx_sse import connect_sse

url, start = sys.argv[1:]
headers = {"Authorization": f"Bearer {os.environ['STREAM_KEY']}"}
# Longer than the heartbeats of the subscription are apart, which are 30 s unless it says otherwise.
client = httpx.Client(timeout=httpx.Timeout(10, read=90))
while True:
    try:
        with connect_sse(
            client, "GET", url, params={"seq_start": start}, headers=headers
        ) as source:
            answer = source.response
            if answer.status_code in (502, 504):
                raise httpx.NetworkError("the proxy cannot reach the server")
            if not answer.is_success:
                sys.exit(f"{answer.status_code}: {answer.read().decode()}")
            for event in source.iter_sse():
                if event.event == "control":
                    print(event.data, file=sys.stderr)
                elif event.data:  # httpx-sse takes heartbeats for empty events
                    print(event.data, flush=True)
                    headers["Last-Event-ID"] = event.id  # counts before seq_start
    except httpx.TransportError:
        pass  # the network, or a server that restarts
    time.sleep(1)
