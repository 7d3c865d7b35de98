"""xlsxapi's own service, as far as its webhooks go: runs jobs, publishes how they ended, keeps their rows.

usage: producer.py execute REQUEST    runs the job of one execute call (JSON); prints what it published
       producer.py track COUNT        writes COUNT results of the feed into the jobs' rows
       producer.py status JOB_ID      prints what GET /jobs/{id} answers

environment: AMQP_URL, PREFIX, APPLICATION (its id at posthaste), JOBS (a SQLite file)

A job is never held up by its webhook: the row has its result before anything is published, and a request
without `webhook_url` publishes an event that nobody is owed.
"""

import json
import os
import sqlite3
import sys
import uuid
from datetime import datetime, timezone

import pika

PREFIX, APPLICATION = os.environ.get("PREFIX", "posthaste"), os.environ["APPLICATION"]
FEED = f"{PREFIX}.{APPLICATION}.job-rows"


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def rows():
    jobs = sqlite3.connect(os.environ["JOBS"], timeout=30)
    jobs.execute(
        "CREATE TABLE IF NOT EXISTS jobs (job_id PRIMARY KEY, status, webhook_url,"
        " webhook_sent_at, webhook_response_status)"
    )
    return jobs


def channel():
    opened = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()
    opened.confirm_delivery()  # basic_publish returns when the event is durable, and raises when it is not
    # A queue of our own for what became of each webhook. It is there before the first event is.
    opened.queue_declare(FEED, durable=True, arguments={"x-queue-type": "quorum"})
    opened.queue_bind(FEED, f"{PREFIX}.results", f"{APPLICATION}.delivery.#")
    return opened


def calculate(inputs):
    """What the sheet says, as the sheet writes it: an amount of money has two digits behind the point."""
    if inputs["propertyValue"] <= 0:
        raise ValueError("Could not process at the moment")
    premium = inputs["propertyValue"] * 0.0025 + (inputs["customerAge"] - 35)
    outputs = '{"premium": %.2f, "deductible": 1000, "coverage": %d}'
    return outputs % (premium + 0.5, inputs["propertyValue"])


def execute(request):
    job_id, created_at = str(uuid.uuid4()), now()
    try:
        outputs = calculate(request["inputs"])
        status = "completed"
        body = (
            '{"job_id": "%s", "status": "completed", "inputs": %s, "outputs": %s, "created_at": "%s",'
            ' "completed_at": "%s", "execution_time_ms": 1850}'
        ) % (job_id, json.dumps(request["inputs"]), outputs, created_at, now())
    except ValueError as error:
        status = "failed"
        failure = {"job_id": job_id, "status": "failed", "error_message": str(error)}
        body = json.dumps(failure | {"created_at": created_at, "updated_at": now()})
    with rows() as jobs:
        row = (job_id, status, request.get("webhook_url"), None, None)
        jobs.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", row)

    headers = {"subject": job_id}
    if request.get("webhook_url"):
        headers["webhook-url"] = request["webhook_url"]
    event = {"id": f"{job_id}.{status}", "type": f"job.{status}"}
    channel().basic_publish(
        exchange=f"{PREFIX}.events",
        routing_key=f"{APPLICATION}.{event['type']}",
        body=body.encode(),
        mandatory=True,
        properties=pika.BasicProperties(
            message_id=event["id"],
            type=event["type"],
            content_type="application/json",
            delivery_mode=2,
            headers=headers,
        ),
    )
    print(json.dumps(event | {"subject": job_id, "body": body}), flush=True)


def track(count):
    feed = channel()
    for method, _, body in feed.consume(FEED):
        result = json.loads(body)
        # To the second, as all times of a job are. Of a request that nobody knows about (`unknown`) there
        # is only the time at which that was found out.
        sent_at = result.get("attempted_at", result["at"])[:19] + "Z"
        with rows() as jobs:
            jobs.execute(
                "UPDATE jobs SET webhook_sent_at = ?, webhook_response_status = ? WHERE job_id = ?",
                (sent_at, result["http_status"], result["subject"]),
            )
        feed.basic_ack(method.delivery_tag)  # the row is written: a result may come twice, never not at all
        count -= 1
        if count == 0:
            return


def status(job_id):
    with rows() as jobs:
        jobs.row_factory = sqlite3.Row
        row = jobs.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    print(json.dumps(dict(row)), flush=True)


command, argument = sys.argv[1:]
if command == "execute":
    execute(json.loads(argument))
elif command == "track":
    track(int(argument))
else:
    status(argument)
