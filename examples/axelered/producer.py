"""Axelered's own service, as far as its webhooks go: publishes that a run, or a document, is finished.

usage: producer.py RUN_ID done|failed    or: producer.py DOCUMENT_ID indexed

environment: AMQP_URL, PREFIX, APPLICATION (the workspace's id or uid at posthaste)
"""

import json
import os
import sys
from datetime import datetime, timezone

import pika

PREFIX, APPLICATION = os.environ.get("PREFIX", "posthaste"), os.environ["APPLICATION"]

name, end = sys.argv[1:]
at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
if end == "indexed":
    event_type, data = "document.ready", {"document_id": name, "indexed_at": at}
else:
    # One type for both ends of a run: which it was is said inside.
    event_type, data = "process.completed", {"run_id": name, "outcome": end, "completed_at": at}
event = {"id": f"{name}.{end}", "type": event_type}
body = json.dumps({"event": event_type, "data": data})

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish returns when the event is durable, and raises when it is not
channel.basic_publish(
    exchange=f"{PREFIX}.events",
    routing_key=f"{APPLICATION}.{event_type}",
    body=body.encode(),
    mandatory=True,
    properties=pika.BasicProperties(
        message_id=event["id"],
        type=event_type,
        content_type="application/json",
        delivery_mode=2,
        headers={"subject": name},
    ),
)
connection.close()
print(json.dumps(event | {"subject": name, "body": body}), flush=True)
