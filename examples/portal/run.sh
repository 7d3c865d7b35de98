#!/usr/bin/env bash
# The portal on posthaste: configured first, sent later; verified by the official library.
source "$(dirname "${BASH_SOURCE[0]}")/../support/stage.sh"

heading "The preset: delivery is off"
call PATCH "/app/$APPLICATION/settings" settings.json; echo

heading "The link for the tenant"
echo '{}' >"$folder/link.json"
call POST "/auth/app-portal-access/$APPLICATION" "$folder/link.json" | sed 's/"[^"]*"/…/4; s/#t=[^"]*/#t=…/'; echo

heading "Two endpoints, as the tenant would make them behind that link, and the receiver with their secrets"
port=$(free_port 10000)
SECRETS=$("$python" "$examples/support/endpoints.py" . "https://127.0.0.1:$port")
export SECRETS
receive receiver.js https "$port"
call GET "/app/$APPLICATION/endpoint" | "$python" -c '
import json, sys
for one in json.load(sys.stdin)["data"]: print("  ", one["uid"], one["url"], one["filterTypes"])'

heading "Both are tested"
for uid in everything endings; do call POST "/app/$APPLICATION/endpoint/$uid/test"; echo; done

heading "Delivery is off: a job's events are on record, and nobody is sent them"
"$python" producer.py job-1 completed
on_record() { [ "$(call GET "/app/$APPLICATION/msg" | grep -o '"eventType"' | wc -l)" = 3 ]; }
await "all three are on record" on_record
echo '{"delivery": "on"}' >"$folder/on.json"
call PATCH "/app/$APPLICATION/settings" "$folder/on.json" >/dev/null

heading "Delivery is on: the next job's; the first request fails, and comes again behind five seconds"
echo 500 >"$folder/trouble"
"$python" producer.py job-2 failed
await "all has arrived" has_received 7 # two tests, four deliveries, one of them twice
heading "What the receiver has: the tests, and each event once for each endpoint"
shows 6

heading "The tenant's log"
call GET "/app/$APPLICATION/attempt/endpoint/everything" | "$python" -c '
import json, sys
for one in json.load(sys.stdin)["data"]: print("  ", one["timestamp"], one["responseStatusCode"], one["msgId"])'
