"""The contract of the HTTP API, held with Svix's Python SDK.

usage: contract.py SUMMARY

The environment says where: SDK_URL, SDK_TOKEN (the organisation's), SDK_APPLICATION_TOKEN (of the
application `contract`), SDK_RECEIVER_PORT (free, where the endpoints of `contract` point). Prints one
line for each check; SUMMARY gets which operations were tried, as JSON. Ends with 1 when a check fails.
"""

import json
import os
import sys
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "python"))

import svix  # noqa: E402

import access  # noqa: E402
import applications  # noqa: E402
import attempts  # noqa: E402
import endpoints  # noqa: E402
import messages  # noqa: E402
from frame import Run  # noqa: E402
from receiver import Receiver  # noqa: E402

SUMMARY = sys.argv[1]
run = Run(os.environ["SDK_URL"])
token = os.environ["SDK_TOKEN"]
client = run.client(token)
receiver = Receiver(int(os.environ["SDK_RECEIVER_PORT"]))

for name, part in [
    ("applications", lambda: applications.check(run, client)),
    ("endpoints", lambda: endpoints.check(run, client, receiver)),
    ("messages", lambda: messages.check(run, client, receiver)),
    ("attempts", lambda: attempts.check(run, client, receiver)),
    ("access", lambda: access.check(run, client, token, os.environ["SDK_APPLICATION_TOKEN"])),
]:
    with run.check("sdk", f"all of {name} was tried"):
        try:
            part()
        except Exception:
            traceback.print_exc()
            raise

summary = run.summary(f"Python svix {svix.__version__}")
with open(SUMMARY, "w") as file:
    json.dump(summary, file)
print(f"{summary['checks']} checks, {summary['failed']} failed, {summary['sdk']}")
sys.exit(1 if summary["failed"] else 0)
