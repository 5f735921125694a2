"""Prints the events of a stream, which come as lines over HTTP: httpx_lines.py URL SEQ"""

import json
import os
import sys
import time

import httpx

url, position = sys.argv[1], int(sys.argv[2])
key = {"Authorization": f"Bearer {os.environ['STREAM_KEY']}"}
# Longer than the heartbeats of the subscription are apart, which are 30 s unless it says otherwise.
client = httpx.Client(headers=key, timeout=httpx.Timeout(10, read=90))
while True:
    try:
        with client.stream("GET", url, params={"seq_start": position}) as answer:
            if answer.is_success:
                for line in filter(None, answer.iter_lines()):  # heartbeats are empty
                    position = int(json.loads(line)["seq"]) + 1
                    print(line, flush=True)
            elif answer.status_code not in (409, 502, 503, 504):
                sys.exit(f"{answer.status_code}: {answer.read().decode()}")
    except (httpx.TransportError, json.JSONDecodeError):
        pass  # the network, or a server that restarts, also within a line
    time.sleep(1)
