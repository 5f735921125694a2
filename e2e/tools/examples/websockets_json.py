"""Prints the events of a stream, which come as JSON over a WebSocket: websockets_json.py URL SEQ"""

import json
import os
import sys
import time

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

url, position = sys.argv[1], int(sys.argv[2])
key = {"Authorization": f"Bearer {os.environ['STREAM_KEY']}"}
while True:
    try:
        with connect(f"{url}?format=json&seq_start={position}", additional_headers=key) as stream:
            for message in stream:
                print(message, flush=True)
                position = int(json.loads(message)["seq"]) + 1
    except InvalidStatus as refusal:
        if refusal.response.status_code not in (409, 502, 503, 504):
            sys.exit(f"{refusal}: {refusal.response.body.decode()}")
    except (OSError, WebSocketException):
        pass  # the network, or a server that restarts
    time.sleep(1)
