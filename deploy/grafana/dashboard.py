#!/usr/bin/env python3
"""Writes posthaste.json, the dashboard: rows in the order in which an incident is read.

Is anything owed and late? Do events come in? Do deliveries go out? Whose fault is it? And then what is below: the broker,
the store, the routers. Each panel says in a line what it shows. A query for a metric that does not exist yet
(prometheus/wanted.jsonl) is left out, and a panel that has none left; when the metric is there, the next run has them.

    dashboard.py            write posthaste.json
    dashboard.py --check    write nothing; exit 1 when it is not what would be written
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILE = HERE / "posthaste.json"
sys.path.insert(0, str(HERE.parent / "prometheus"))

from rules import SLIS, listed, metrics_in  # noqa: E402  (its folder is on the path since the line above)

RATE = "$__rate_interval"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# A grid of 24: three charts beside each other, or six numbers.
WIDTH, HEIGHT = 8, 8


def rate(metric, by=""):
    """A second's worth of a counter."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}[{RATE}]))"


def quantile(of, metric, by=""):
    return f"histogram_quantile({of}, sum by (le{', ' + by if by else ''}) (rate({metric}_bucket[{RATE}])))"


def burning(sli):
    """How many times faster than it may the budget of a month is being used up."""
    budget = f"{1 - SLIS[sli][0]:.6g}"
    return f'posthaste:sli_bad:ratio_rate1h{{sli="{sli}"}} / {budget}', sli.replace("_", " ")


# title: [(title of a panel, unit, what it shows, [(query, legend)], thresholds of a number)]
ROWS = {
    "Is anything owed and late?": [
        ("Unaccounted", "short", "Owed and in no state. 0, always: runbook PosthasteUnaccountedDeliveries.",
         [("max(abs(posthaste_ledger_unaccounted_deliveries))", "")], [("red", 1)]),
        ("Oldest overdue", "s", "How late what is late for longest is. What waits on purpose is not late.",
         [("max(posthaste_deliveries_oldest_overdue_age_seconds)", "")], [("orange", 60), ("red", 300)]),
        ("Canary", "s", "Since an event has last come the whole way.",
         [("time() - max(posthaste_canary_last_success_timestamp_seconds)", "")], [("orange", 30), ("red", 120)]),
        ("Dead letters", "short", "Given up, and waiting for a person.",
         [("max(posthaste_dead_letters)", "")], [("orange", 1)]),
        ("To be sent", "short", "Deliveries that are pending: in a router's memory, or about to be.",
         [('max(posthaste_ledger_deliveries{state="pending"})', "")], []),
        ("Not ready for", "short", "Parts that no router has. 0 is well: runbook PosthasteNotReady.",
         [("count(max by (component) (posthaste_ready) == 0) or vector(0)", "")], [("red", 1)]),
        ("Budgets being used up (1 h)", "short", "1 is exactly the budget of a month; 14.4 wakes somebody.",
         [burning(sli) for sli in SLIS], None),
        ("The books", "short", "What is owed, by how it stands: pending is to be sent, waiting is put off.",
         [('max by (state) (posthaste_ledger_deliveries{state=~"pending|waiting|dead|unknown"})', "{{state}}")], None),
        ("Owed and ended", "ops", "Each accepted event owes deliveries; each ends once.",
         [("sum(rate(posthaste_event_fanout_deliveries_sum[" + RATE + "]))", "owed"),
          (rate("posthaste_deliveries_finished_total", "result"), "{{result}}")], None),
    ],
    "Do events come in?": [
        ("Events", "ops", "Accepted for the first time, known already, and messages that are no events.",
         [(rate("posthaste_events_accepted_total"), "accepted"),
          (rate("posthaste_events_known_total", "cause"), "known: {{cause}}"),
          (rate("posthaste_events_quarantined_total", "reason"), "quarantined: {{reason}}"),
          (rate("posthaste_events_filtered_total"), "wanted by nobody")], None),
        ("Requests to publish", "reqps", "By what they were answered: overloaded and error are ours.",
         [(rate("posthaste_ingest_requests_total", "outcome"), "{{outcome}}")], None),
        ("Accepting takes", "s", "From a request's first byte to its 202.",
         [(quantile(0.5, "posthaste_ingest_request_duration_seconds"), "p50"),
          (quantile(0.99, "posthaste_ingest_request_duration_seconds"), "p99")], None),
        ("Deliveries of an event", "short", "How many endpoints want one event.",
         [(quantile(0.95, "posthaste_event_fanout_deliveries"), "p95")], None),
    ],
    "Do deliveries go out?": [
        ("Attempts by outcome", "ops", "How requests end. success delivers; internal is ours; the rest is the receiver's or the way there.",
         [(rate("posthaste_delivery_attempts_total", "outcome"), "{{outcome}}")], None),
        ("Waiting for a request", "s", "From when a delivery could be sent to its request: its endpoint's rate and cap included.",
         [(quantile(0.99, "posthaste_delivery_queue_wait_seconds", "attempt"), "p99 {{attempt}}"),
          (quantile(0.5, "posthaste_delivery_queue_wait_seconds", "attempt"), "p50 {{attempt}}")], None),
        ("Picked up", "s", "From when a delivery could go on to when its line had it: ours alone.",
         [(quantile(0.99, "posthaste_delivery_pickup_seconds", "source"), "p99 {{source}}")], None),
        ("Requests take", "s", "By how they end: slow receivers hold places.",
         [(quantile(0.95, "posthaste_delivery_attempt_duration_seconds", "outcome_class"), "p95 {{outcome_class}}")], None),
        ("End to end", "s", "From an event's arrival to its delivery, by whether the first attempt delivered.",
         [(quantile(0.95, "posthaste_delivery_end_to_end_seconds", "attempts"), "p95, attempts: {{attempts}}")], None),
        ("On the way", "short", "Requests, and as many as there may be.",
         [("sum(posthaste_delivery_in_flight)", "on the way"),
          ("sum(posthaste_delivery_concurrency_limit)", "bound")], None),
        ("Put off", "ops", "Why deliveries wait without an attempt; and failed ones that will be tried again.",
         [(rate("posthaste_deliveries_postponed_total", "reason"), "{{reason}}"),
          (rate("posthaste_delivery_retries_scheduled_total"), "tried again")], None),
        ("In memory", "short", "Deliveries in the routers' memory, and as many as there may be.",
         [("sum(posthaste_deliveries_in_memory)", "in memory"),
          ("sum(posthaste_deliveries_in_memory_limit)", "bound")], None),
        ("Given up", "ops", "Why deliveries end otherwise than well.",
         [('sum by (result, reason) (rate(posthaste_deliveries_finished_total{result!="delivered"}[' + RATE + "]))",
           "{{result}}: {{reason}}")], None),
        ("Taken over, and dropped copies", "ops", "Deliveries that outlasted their event's message; copies whose turn was over: what redelivery costs.",
         [(rate("posthaste_deliveries_escrowed_total"), "taken over"),
          (rate("posthaste_delivery_copies_dropped_total"), "copies dropped")], None),
    ],
    "Who is it?": [
        ("Circuits", "ops", "Endpoints that did nothing but fail (open), are tried (half_open), and answer again (closed).",
         [(rate("posthaste_endpoint_circuit_transitions_total", "to"), "{{to}}")], None),
        ("Endpoints", "short", "By how they are; without a series for each.",
         [("max by (state) (posthaste_endpoints)", "{{state}}")], None),
        ("Most that is late", "short", "The worst endpoints. All of them: posthaste endpoint top.",
         [("topk(10, max by (endpoint) (posthaste_top_endpoint_overdue_deliveries))", "{{endpoint}}")], None),
        ("Replays", "short", "Running and paused, and what they go over.",
         [("max by (state) (posthaste_replays)", "{{state}}"),
          (rate("posthaste_replay_deliveries_total", "result"), "{{result}}/s")], None),
    ],
    "The broker": [
        ("Publishes", "ops", "By the broker's answer. One returned means a missing queue.",
         [(rate("posthaste_broker_publishes_total", "result"), "{{result}}"),
          (rate("posthaste_broker_batches_failed_total"), "batches failed")], None),
        ("Messages", "ops", "Consumed; redelivered ones were unacknowledged when a connection ended.",
         [('sum(rate(posthaste_broker_messages_received_total{redelivered="false"}[' + RATE + "]))", "first time"),
          ('sum(rate(posthaste_broker_messages_received_total{redelivered="true"}[' + RATE + "]))", "redelivered")], None),
        ("Connections", "short", "Up, blocked by an alarm, and made again within five minutes.",
         [("sum by (role) (posthaste_broker_connections)", "up: {{role}}"),
          ("max by (role) (posthaste_broker_connection_blocked)", "blocked: {{role}}"),
          ("sum by (role) (increase(posthaste_broker_reconnects_total[5m]))", "made again: {{role}}")], None),
        ("Confirms take", "s", "From a batch to its confirm: the broker's disks.",
         [(quantile(0.99, "posthaste_broker_confirm_duration_seconds"), "p99")], None),
        ("Ready in our queues", "short", "And how long ago the last message came: with messages ready, that is a stall.",
         [("max by (queue) (posthaste_broker_queue_ready_messages)", "{{queue}}"),
          ("time() - max by (queue) (posthaste_broker_last_message_timestamp_seconds)", "{{queue}}, seconds since the last")], None),
        ("Alarms, and disk", "short", "Of RabbitMQ's own metrics: an alarm blocks every publisher.",
         [('max by (__name__) ({__name__=~"rabbitmq_alarms_.*"})', "{{__name__}}"),
          ("min(rabbitmq_disk_space_available_bytes) / min(rabbitmq_disk_space_available_limit_bytes)", "disk, as a multiple of its limit")], None),
    ],
    "The store": [
        ("Size", "bytes", "The database file, the log that is not folded into it yet, and what is free within.",
         [("max by (instance, part) (posthaste_store_bytes)", "{{instance}} {{part}}"),
          ("max by (instance) (posthaste_store_free_bytes)", "{{instance}} free within")], None),
        ("Left on its disk", "bytes", "Below 512 MiB somebody is woken.",
         [("min by (instance) (posthaste_store_disk_available_bytes)", "{{instance}}")], None),
        ("Removed for their age", "ops", "Rows, by table; and how old the oldest event is, in days.",
         [(rate("posthaste_store_rows_removed_total", "table"), "{{table}}"),
          ("(time() - (max(posthaste_store_oldest_event_timestamp_seconds) > 0)) / 86400", "oldest event, days")], None),
        ("Steps take", "s", "Which of the store's steps is slow.",
         [(quantile(0.99, "posthaste_store_operation_duration_seconds", "operation"), "p99 {{operation}}")], None),
        ("Errors, and connections", "short", "Calls that failed, by kind; connections by what they do.",
         [(rate("posthaste_store_errors_total", "kind"), "{{kind}}/s"),
          ("sum by (state) (posthaste_store_connections)", "{{state}}")], None),
    ],
    "The routers": [
        ("Ready, and versions", "short", "Each part of each router; how many run which version.",
         [("min by (instance, component) (posthaste_ready)", "{{instance}} {{component}}"),
          ("count by (version) (posthaste_build_info)", "version {{version}}"),
          ("max(posthaste_routers)", "routers that share rates"),
          ("max by (instance) (posthaste_draining)", "{{instance}} stopping")], None),
        ("CPU", "short", "Cores.",
         [(f"sum by (instance) (rate(posthaste_process_cpu_seconds_total[{RATE}]))", "{{instance}}")], None),
        ("Memory", "bytes", "Resident.",
         [("max by (instance) (posthaste_process_resident_memory_bytes)", "{{instance}}")], None),
        ("File descriptors", "percentunit", "Of those that there may be: two for each request on the way, and some.",
         [("max by (instance) (posthaste_process_open_fds / posthaste_process_max_fds)", "{{instance}}")], None),
        ("Starved?", "s", "How late a timer fires.",
         [(quantile(0.99, "posthaste_runtime_lag_seconds", "instance"), "p99 {{instance}}")], None),
        ("Warnings and errors", "ops", "Lines of the log.",
         [(rate("posthaste_log_lines_total", "level"), "{{level}}")], None),
    ],
}


def is_here(query, there):
    if "posthaste:sli_bad" in query:
        return all(metrics_in(SLIS[sli][1]) <= there for sli in SLIS if f'sli="{sli}"' in query)
    return metrics_in(query) <= there


def panel(number, spec, place, there):
    title, unit, shows, queries, steps = spec
    queries = [(query, legend) for query, legend in queries if is_here(query, there)]
    if not queries:
        return None
    defaults = {"unit": unit, "min": 0}
    if steps is not None:
        colours = [{"color": "green", "value": None}] + [{"color": colour, "value": value} for colour, value in steps]
        defaults["thresholds"] = {"mode": "absolute", "steps": colours}
    return {
        "id": number,
        "type": "timeseries" if steps is None else "stat",
        "title": title,
        "description": shows,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend, "datasource": SOURCE}
            for index, (query, legend) in enumerate(queries)
        ],
    }


def panels():
    there = listed("metrics.jsonl")
    made, y = [], 0
    for title, specs in ROWS.items():
        made.append({
            "id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        })
        x, y, tall = 0, y + 1, HEIGHT
        for spec in specs:
            is_number = spec[4] is not None
            wide, high = (4, 4) if is_number else (WIDTH, HEIGHT)
            if x + wide > 24 or (x and high != tall):
                x, y = 0, y + tall
            tall = high
            one = panel(len(made) + 1, spec, {"h": high, "w": wide, "x": x, "y": y}, there)
            if one:
                made.append(one)
                x += wide
        y += tall if x else 0
    return made


def dashboard():
    return {
        "uid": "posthaste",
        "title": "posthaste",
        "tags": ["posthaste"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "annotations": {"list": [{
            "name": "Alerts", "enable": True, "datasource": SOURCE, "iconColor": "red",
            "expr": 'ALERTS{alertstate="firing", alertname=~"Posthaste.*|Rabbitmq.*"}', "titleFormat": "{{alertname}}",
        }]},
        "panels": panels(),
    }


def main():
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text, encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text:
        sys.exit("posthaste.json is not what dashboard.py writes; run deploy/grafana/dashboard.py")


if __name__ == "__main__":
    main()
