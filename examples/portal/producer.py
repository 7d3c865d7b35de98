"""The platform's own service, as far as its webhooks go: publishes a job's life, one event for each step.

usage: producer.py JOB_ID completed|failed|cancelled    prints what it published, one JSON line each

environment: AMQP_URL, PREFIX, APPLICATION (its id or uid at posthaste)

The body of an event is the job alone: what receivers get is made around it (`format` is `standard`).
"""

import json
import os
import sys

import pika

PREFIX, APPLICATION = os.environ.get("PREFIX", "posthaste"), os.environ["APPLICATION"]
ENDS = {
    "completed": {"output": {"pages": 3}},
    "failed": {"error": {"message": "the document is empty"}},
    "cancelled": {},
}

job_id, end = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish returns when the event is durable, and raises when it is not
for status, more in [("created", {}), ("processing", {"progress": 0}), (end, ENDS[end])]:
    body = json.dumps({"job_id": job_id, "status": status} | more)
    event = {"id": f"{job_id}.{status}", "type": f"job.{status}"}
    channel.basic_publish(
        exchange=f"{PREFIX}.events",
        routing_key=f"{APPLICATION}.{event['type']}",
        body=body.encode(),
        mandatory=True,
        properties=pika.BasicProperties(
            message_id=event["id"],
            type=event["type"],
            content_type="application/json",
            delivery_mode=2,
            headers={"subject": job_id},
        ),
    )
    print(json.dumps(event | {"subject": job_id, "body": body}), flush=True)
connection.close()
