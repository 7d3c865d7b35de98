"""A customer of Cortex: the service that the workers' configuration names."""

from datetime import datetime

from flask import Flask, request

app = Flask(__name__)


@app.post("/reports")
def workload_ended():
    report = request.get_json()
    if report["status"] == "completed":
        at = datetime.fromisoformat(report["timestamp"])
        print(f"{report['id']}: {report['result']} at {at:%H:%M:%S} UTC", flush=True)
    else:
        print(f"{report['id']}: {report['status']}", flush=True)
    return "", 200
