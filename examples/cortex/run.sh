#!/usr/bin/env bash
# Cortex on posthaste: a worker's reports go to the application's default URL, once each.
source "$(dirname "${BASH_SOURCE[0]}")/../support/stage.sh"

receive receiver.py
heading "The preset, with the URL that the worker's configuration had"
filled settings.json >"$folder/settings.json"
call PATCH "/app/$APPLICATION/settings" "$folder/settings.json"; echo

heading "A workload, and one that fails: the report goes out, and the error is raised"
"$python" producer.py request-1
if "$python" producer.py request-2 'out of memory' 2>"$folder/error"; then fail "the error was swallowed"; fi
tail -n 1 "$folder/error"

heading "What the receiver has"
shows 2

heading "Without a broker the report is lost, and the workload is not"
AMQP_URL=amqp://127.0.0.1:1/ "$python" producer.py request-3
echo "request-3 has ended well"
