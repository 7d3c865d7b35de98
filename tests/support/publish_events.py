"""Publishes events as a producer of somebody else would: with pika, persistent and confirmed.

usage: publish_events.py URL PREFIX APPLICATION COUNT BOOK

COUNT events of six types in turn. BOOK gets one JSON line for each: id, type, sha256 of the body.
The bodies are what real ones are: numbers that must keep their digits, other alphabets, white space.
"""

import hashlib
import json
import sys

import pika

URL, PREFIX, APPLICATION, COUNT, BOOK = sys.argv[1:]
TYPES = [
    "job.created",
    "job.processing",
    "job.completed",
    "job.failed",
    "process.completed",
    "document.ready",
]
BODIES = [
    '{{"job_id": "job-{n}", "amount": 1250.50, "at": "2026-08-21T10:11:12"}}',
    '{{\n  "job_id" : "job-{n}",\n  "note" : "räksmörgås \u2603 \U0001f600"\n}}\n',
    '{{"job_id":"job-{n}","big":12345678901234567890.000,"esc":"a\\/b\\u00e9"}}',
    '["job-{n}", null, true, 1e400]',
]

connection = pika.BlockingConnection(pika.URLParameters(URL))
channel = connection.channel()
channel.confirm_delivery()
with open(BOOK, "w") as book:
    for n in range(int(COUNT)):
        event_type = TYPES[n % len(TYPES)]
        body = BODIES[n % len(BODIES)].format(n=n).encode()
        event_id = f"producer.event-{n}"
        channel.basic_publish(
            exchange=f"{PREFIX}.events",
            routing_key=f"{APPLICATION}.{event_type}",
            body=body,
            mandatory=True,
            properties=pika.BasicProperties(
                message_id=event_id,
                type=event_type,
                content_type="application/json",
                delivery_mode=2,
                headers={"subject": f"job-{n}"},
            ),
        )
        entry = {"id": event_id, "type": event_type, "sha256": hashlib.sha256(body).hexdigest()}
        book.write(json.dumps(entry) + "\n")
connection.close()
