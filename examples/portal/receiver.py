"""Another customer of the platform, on Flask: verifies by hand, as the standard describes it.

environment: SECRETS, a JSON object: the secret that the portal shows for each endpoint, by its path
"""

import base64
import hmac
import json
import os
import time

from flask import Flask, request

SECRETS = json.loads(os.environ["SECRETS"])
TOLERANCE_S = 300

app = Flask(__name__)
seen = set()


def verified():
    event_id, sent_at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    key = base64.b64decode(SECRETS[request.path].removeprefix("whsec_"))
    signed = b".".join([event_id.encode(), sent_at.encode(), request.get_data()])
    wanted = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    given = request.headers["webhook-signature"].split()
    fresh = abs(time.time() - int(sent_at)) < TOLERANCE_S
    return fresh and any(hmac.compare_digest(wanted, one) for one in given)


@app.post("/webhooks/<name>")
def job_changed(name):
    if not verified():
        return {"error": "the signature is not right"}, 401
    if request.headers["webhook-id"] not in seen:
        seen.add(request.headers["webhook-id"])
        print(f"{name}: {request.get_data(as_text=True)}", flush=True)
    return "", 204
