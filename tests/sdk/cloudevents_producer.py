"""A producer of CloudEvents by the official SDK: over HTTP and over AMQP, in every way that it knows.

usage: cloudevents_producer.py API TOKEN BROKER PREFIX APPLICATION

The same event goes every way, with the way for its id, and one that lacks its source goes the two ways
that a client cannot prevent. Prints one JSON line for each: way, and over HTTP the answer's status and body.
"""

import json
import sys
import urllib.error
import urllib.request
from datetime import datetime, timezone

import pika
from cloudevents.core.bindings import amqp, http, rabbitmq
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

API, TOKEN, BROKER, PREFIX, APPLICATION = sys.argv[1:]
DATA = {"job_id": "job-17", "amount": 1250.5, "note": "räksmörgås \u2603 \U0001f600"}


def event(way):
    return CloudEvent(
        attributes={
            "id": way,
            "source": "/render/eu-1",
            "type": "job.completed",
            "specversion": "1.0",
            "time": datetime(2026, 8, 21, 10, 11, 12, 250000, tzinfo=timezone.utc),
            "subject": 'job "7" 100% räksmörgås',
            "datacontenttype": "application/json",
            "dataschema": "urn:posthaste:event:job.completed:1",
            "tenant": "eu/north",
        },
        data=DATA,
    )


def told(way, **more):
    print(json.dumps({"way": way, **more}), flush=True)


def post(way, headers, body):
    url = f"http://{API}/api/v1/app/{APPLICATION}/cloudevent"
    headers = {**headers, "authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            told(way, status=answer.status, body=json.load(answer))
    except urllib.error.HTTPError as error:
        told(way, status=error.code, body=json.load(error))


def over_http():
    for way, message in [
        ("http-structured", http.to_structured_event(event("http-structured"))),
        ("http-binary", http.to_binary_event(event("http-binary"))),
    ]:
        post(way, message.headers, message.body)
        post(f"{way}-again", message.headers, message.body)
    message = http.to_binary_event(event("http-broken"))
    headers = {name: text for name, text in message.headers.items() if name != "ce-source"}
    post("http-broken", headers, message.body)


def over_amqp():
    connection = pika.BlockingConnection(pika.URLParameters(BROKER))
    channel = connection.channel()
    channel.confirm_delivery()

    def publish(way, content_type, headers, body):
        properties = pika.BasicProperties(
            content_type=content_type, headers=headers, delivery_mode=2
        )
        channel.basic_publish(
            exchange=f"{PREFIX}.events",
            routing_key=f"{APPLICATION}.whatever",
            body=body,
            mandatory=True,
            properties=properties,
        )
        told(way)

    for way, convert in [("amqp-structured", amqp.to_structured), ("amqp-binary", amqp.to_binary)]:
        message = convert(event(way), JSONFormat())
        kind = message.properties["content-type"]
        publish(way, kind, message.application_properties, message.application_data)
    message = amqp.to_binary(event("amqp-colon"), JSONFormat())
    named = message.application_properties.items()
    headers = {name.replace("cloudEvents_", "cloudEvents:"): value for name, value in named}
    publish("amqp-colon", message.properties["content-type"], headers, message.application_data)
    for way, convert in [
        ("rabbitmq-structured", rabbitmq.to_structured_event),
        ("rabbitmq-binary", rabbitmq.to_binary_event),
    ]:
        message = convert(event(way))
        publish(way, message.content_type, message.headers, message.body)
    message = rabbitmq.to_binary_event(event("amqp-broken"))
    del message.headers["ce-source"]
    publish("amqp-broken", message.content_type, message.headers, message.body)
    connection.close()


over_http()
over_amqp()
