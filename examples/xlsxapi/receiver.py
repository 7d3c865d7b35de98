"""A customer of xlsxapi, who has read its page about webhooks and nothing else."""

from flask import Flask, jsonify, request

app = Flask(__name__)
seen = set()


@app.post("/webhooks/xlsxapi")
def job_ended():
    job = request.get_json()
    if job["job_id"] in seen:  # unlikely, the page says, and possible
        return jsonify({"received": True}), 200
    seen.add(job["job_id"])
    if job["status"] == "completed":
        print(f"{job['job_id']}: the premium is {job['outputs']['premium']}", flush=True)
    elif job["status"] == "failed":
        print(f"{job['job_id']}: {job.get('error_message', 'no reason given')}", flush=True)
    return jsonify({"received": True}), 200
