"""A worker of Cortex: runs one workload and reports how it ended.

usage: producer.py REQUEST_ID [ERROR]    with ERROR, the workload fails with this message

environment: AMQP_URL, PREFIX, APPLICATION (its id or uid at posthaste)

The worker used to post its report to a URL of its configuration. It publishes the report now, and the URL
is the application's default URL. What it promises is as before: a report that cannot be sent is nobody's
trouble, and a workload's own error is raised whatever becomes of the report.
"""

import json
import os
import sys
from datetime import datetime, timezone

import pika

PREFIX, APPLICATION = os.environ.get("PREFIX", "posthaste"), os.environ["APPLICATION"]


class Worker:
    def __init__(self, config):
        self.broker = config["broker"]

    def handle(self, request_id, workload):
        try:
            result = workload()
        except Exception:
            self.report(request_id, "failed")
            raise
        self.report(request_id, "completed", result)

    def report(self, request_id, status, result=None):
        report = {"id": request_id, "status": status}
        if status == "completed":
            # In UTC, and without saying so: what receivers have always been sent.
            timestamp = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()
            report |= {"result": result, "timestamp": timestamp}
        try:
            self.publish(request_id, status, json.dumps(report))
        except Exception:
            pass

    def publish(self, request_id, status, body):
        connection = pika.BlockingConnection(pika.URLParameters(self.broker))
        channel = connection.channel()
        channel.confirm_delivery()
        event = {"id": f"{request_id}.{status}", "type": f"job.{status}"}
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
                headers={"subject": request_id},
            ),
        )
        connection.close()
        print(json.dumps(event | {"subject": request_id, "body": body}), flush=True)


def workload():
    if len(sys.argv) > 2:
        raise RuntimeError(sys.argv[2])
    return {"data": "hello"}


Worker({"broker": os.environ["AMQP_URL"]}).handle(sys.argv[1], workload)
