"""A customer of Axelered: verifies the one header that its page names, with the secret that it gave itself.

environment: SIGNING_SECRET
"""

import hmac
import os

from flask import Flask, request

SECRET = os.environ["SIGNING_SECRET"].encode()

app = Flask(__name__)


@app.post("/webhooks/axelered")
def run_ended():
    wanted = hmac.new(SECRET, request.get_data(), "sha256").hexdigest()
    if not hmac.compare_digest(wanted, request.headers.get("X-Axelered-Signature", "")):
        return "", 401
    event = request.get_json()
    print(f"{event['event']}: {event['data']}", flush=True)
    return "", 204
