"""Lists the event types and registers the endpoints of an example; prints the secrets by path.

usage: endpoints.py FOLDER RECEIVER

FOLDER has `event-types.json` and `endpoints.json`; RECEIVER is where the receiver listens, as
https://127.0.0.1:8443. Environment: API_URL, API_TOKEN, APPLICATION.
"""

import json
import os
import sys
import urllib.request

FOLDER, RECEIVER = sys.argv[1:]
SOMEWHERE = "https://receiver.example"
BELOW = f"/app/{os.environ['APPLICATION']}/endpoint"


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{os.environ['API_URL']}/api/v1{path}",
        method=method,
        data=body and json.dumps(body).encode(),
        headers={
            "authorization": f"Bearer {os.environ['API_TOKEN']}",
            "content-type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def listed(name):
    with open(f"{FOLDER}/{name}") as file:
        return json.loads(file.read().replace(SOMEWHERE, RECEIVER))


for event_type in listed("event-types.json"):
    call("POST", "/event-type", event_type)
secrets = {}
for endpoint in listed("endpoints.json"):
    made = call("POST", BELOW, endpoint)
    path = made["url"].removeprefix(RECEIVER)
    secrets[path] = call("GET", f"{BELOW}/{made['uid']}/secret")["key"]
print(json.dumps(secrets))
