"""The Celery worker: one task that signs and POSTs, as one would write it in an afternoon.

Acknowledged late, so that a killed worker loses nothing; no result is stored and no retry is made. urllib3 is used
as it is, without what `requests` puts on top: the faster of the two.

BENCH_BROKER, BENCH_QUEUE and BENCH_URLS say what it works on.
"""

import base64
import hashlib
import hmac
import os
import time

import urllib3
from celery import Celery
from kombu import Queue

QUEUE = os.environ["BENCH_QUEUE"]
ENDPOINTS = os.environ["BENCH_URLS"].split(",")
KEY = bytes([7]) * 32

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_queues=[Queue(QUEUE, routing_key=QUEUE, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)
pool = urllib3.PoolManager(retries=False)


@app.task(name="deliver")
def deliver(number, text):
    """POSTs a payload to each endpoint in turn."""
    body = text.encode()
    event_id = f"msg_e{number}"
    timestamp = str(int(time.time()))
    signed = hmac.new(KEY, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    }
    for url in ENDPOINTS:
        answer = pool.request("POST", url, body=body, headers=headers)
        if answer.status >= 300:
            raise RuntimeError(f"answered {answer.status}")
