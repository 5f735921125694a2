"""Prints the events of a stream, which come in frames of DSS over a WebSocket: websockets_dss.py URL SEQ"""

import os
import sys

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

url, position = sys.argv[1:]
key = {"Authorization": f"Bearer {os.environ['STREAM_KEY']}"}
try:
    with connect(f"{url}?seq_start={position}", additional_headers=key) as stream:
        for frame in stream:
            _length, body = frame.split("|", 1)
            if body == "Z":
                stream.send("Z")  # acknowledges the events so far
                print("heartbeat", file=sys.stderr)
            else:
                print(body, flush=True)
except InvalidStatus as refusal:
    sys.exit(f"{refusal}: {refusal.response.body.decode()}")
