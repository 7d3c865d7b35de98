#!/usr/bin/env python3
"""Writes the recording and alert rules: posthaste.rules.yml, posthaste-next.rules.yml, and the first once more for Kubernetes.

Windows, burn factors and thresholds stand here once. A rule whose metrics are all in metrics.jsonl, which is what
`posthaste metrics --list --json` prints, goes into the first file, which a Prometheus loads. One that needs a metric of
wanted.jsonl goes into the second, which none loads yet: an alert that asks for a metric that does not exist would
fire for ever, or never. When the metric is there, the next run moves the rule.

    rules.py                         write the files
    rules.py --check                 write nothing; exit 1 when a file is not what would be written
    rules.py --runbooks URL          what the runbooks' links begin with (docs/runbooks, unless you say otherwise)
"""

import argparse
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOW, NEXT = HERE / "posthaste.rules.yml", HERE / "posthaste-next.rules.yml"
KUBERNETES = HERE.parent / "kubernetes/components/monitoring/rules.yaml"

WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
# Google's SRE workbook, chapter 5: burning 2 % of a month's budget in an hour or 5 % in six is worth waking somebody,
# 10 % in one day or three is worth a ticket. The short window ends the alert soon after the trouble.
PAGE = [(14.4, "1h", "5m"), (6, "6h", "30m")]
TICKET = [(3, "1d", "2h"), (1, "3d", "6h")]

# Bounds of buckets are compared as text: a text exposition says `1`, and Prometheus 3 stores `1.0`.
LE = r'le=~"{0}(\\.0)?"'


def slow(metric, bound, labels):
    """What took longer than a bound, of all."""
    le = LE.format(bound)
    return (
        f"1 - sum(rate({metric}_bucket{{{labels},{le}}}[WINDOW]))"
        f" / sum(rate({metric}_count{{{labels}}}[WINDOW]))"
    )


def share(metric, bad):
    """The bad ones, of all."""
    return f"sum(rate({metric}{{{bad}}}[WINDOW])) / sum(rate({metric}[WINDOW]))"


# name: (objective, the bad part of a window, what has to be so besides for a page, whether it pages at all)
# What receivers have a part in is worth a ticket and wakes nobody.
SLIS = {
    "ingest": (0.9995, share("posthaste_ingest_requests_total", 'outcome=~"overloaded|error"'), None, True),
    "ingest_latency": (0.99, slow("posthaste_ingest_request_duration_seconds", "0.25", 'route=~".+"'), None, False),
    "pickup": (0.99, slow("posthaste_delivery_pickup_seconds", "1", 'source=~".+"'), None, True),
    "queue_wait": (0.99, slow("posthaste_delivery_queue_wait_seconds", "1", 'attempt="first"'), None, False),
    "end_to_end": (0.95, slow("posthaste_delivery_end_to_end_seconds", "5", 'attempts="1"'), None, False),
    # With little traffic one fault is a large share: five within the hour are wanted, too.
    "internal_errors": (
        0.9999,
        share("posthaste_delivery_attempts_total", 'outcome="internal"'),
        'sum(increase(posthaste_delivery_attempts_total{outcome="internal"}[1h])) > 5',
        True,
    ),
    "freshness": (0.999, "avg_over_time(posthaste:freshness_bad:bool[WINDOW])", None, True),
}

# The share of a minute in which what is due waits: what is put off on purpose is not due.
FRESHNESS = ("posthaste:freshness_bad:bool", "max(posthaste_deliveries_oldest_overdue_age_seconds) > bool 60")

MIB = 1024 * 1024
GIB = 1024 * MIB

# name, severity, for, expression, summary. In the order in which an incident is read.
ALERTS = {
    "posthaste-safety": [
        ("PosthasteUnaccountedDeliveries", "page", "1m",
         "max(abs(posthaste_ledger_unaccounted_deliveries)) > 0",
         "{{ $value }} deliveries are owed and in no state: something was miscounted or lost"),
        ("PosthasteBooksStale", "page", "2m",
         "time() - max(posthaste_ledger_read_timestamp_seconds) > 300\n"
         "or absent(posthaste_ledger_read_timestamp_seconds)",
         "The books have not been read for five minutes: nobody would notice a loss"),
        ("PosthastePublishReturned", "page", None,
         'sum(increase(posthaste_broker_publishes_total{result="returned"}[5m])) > 0',
         "The broker has given publishes back: a queue or a binding is missing"),
        ("PosthasteUnknownDeliveries", "ticket", None,
         'delta(max(posthaste_ledger_deliveries{state="unknown"})[1h:1m]) > 0',
         "{{ $value }} at-most-once deliveries have no end on record: a person has to decide"),
    ],
    "posthaste-delivery": [
        ("PosthasteCanaryFailing", "page", "1m",
         "time() - max(posthaste_canary_last_success_timestamp_seconds) > 120\n"
         "or absent(posthaste_canary_last_success_timestamp_seconds)",
         "No canary has come the whole way for two minutes"),
        ("PosthasteDeliveriesStale", "page", "2m",
         "max(posthaste_deliveries_oldest_overdue_age_seconds) > 300\n"
         "or absent(posthaste_deliveries_oldest_overdue_age_seconds)",
         "What is late for longest is late by {{ $value | humanizeDuration }}"),
        ("PosthasteDispatchStalled", "page", "5m",
         'max(posthaste_ledger_deliveries{state="pending"}) > 0\n'
         "and sum(increase(posthaste_delivery_attempts_total[10m])) == 0",
         "{{ $value }} deliveries are to be sent, and nothing has been sent for ten minutes"),
        ("PosthasteConsumerStalled", "page", "2m",
         "max by (queue) (posthaste_broker_queue_ready_messages) > 0\n"
         "and on (queue) (time() - max by (queue) (posthaste_broker_last_message_timestamp_seconds) > 120)",
         "The queue {{ $labels.queue }} has messages, and none has come for two minutes"),
        ("PosthasteEgressBroken", "page", "5m",
         'sum(rate(posthaste_delivery_attempts_total{outcome=~"dns|connect|tls|connection_lost|timeout"}[5m]))\n'
         "/ sum(rate(posthaste_delivery_attempts_total[5m])) > 0.5\n"
         "and sum(rate(posthaste_delivery_attempts_total[5m])) > 0.2",
         "{{ $value | humanizePercentage }} of all requests get no answer: suspect our own way out"),
        ("PosthasteDeadLettersGrowing", "ticket", "10m",
         'sum(increase(posthaste_deliveries_finished_total{result="dead"}[1h])) > 50\n'
         'and sum(increase(posthaste_deliveries_finished_total{result="dead"}[1h]))\n'
         "/ sum(increase(posthaste_deliveries_finished_total[1h])) > 0.01",
         "{{ $value | humanize }} deliveries were given up within an hour, more than one in a hundred"),
        ("PosthasteDeadLettersUnattended", "ticket", "1h",
         "max(posthaste_dead_letters_oldest_age_seconds) > 259200",
         "A dead letter has been lying for three days"),
        ("PosthasteQuarantineGrowing", "ticket", "10m",
         "sum by (reason) (increase(posthaste_events_quarantined_total[1h])) > 10",
         "{{ $value | humanize }} messages an hour are no events ({{ $labels.reason }})"),
        ("PosthasteSaturated", "ticket", "15m",
         "sum(posthaste_delivery_in_flight) / sum(posthaste_delivery_concurrency_limit) > 0.9",
         "{{ $value | humanizePercentage }} of the requests that may be on the way at once are"),
    ],
    "posthaste-routers": [
        ("PosthasteDown", "page", "1m",
         'absent(up{job="posthaste"} == 1)',
         "No router answers"),
        ("PosthasteReplicaDown", "ticket", "5m",
         'up{job="posthaste"} == 0',
         "The router {{ $labels.instance }} does not answer"),
        ("PosthasteNotReady", "page", "2m",
         "max by (component) (posthaste_ready) == 0",
         "{{ $labels.component }} is not there for any router: events wait"),
        ("PosthasteReplicaNotReady", "ticket", "10m",
         "posthaste_ready == 0",
         "{{ $labels.component }} is not there for the router {{ $labels.instance }}"),
        ("PosthasteVersionsDiffer", "ticket", "1h",
         "count(count by (version) (posthaste_build_info)) > 1",
         "Routers of {{ $value }} versions have been running side by side for an hour"),
        ("PosthasteFileDescriptors", "ticket", "10m",
         "max by (instance) (posthaste_process_open_fds / posthaste_process_max_fds) > 0.8",
         "The router {{ $labels.instance }} has used {{ $value | humanizePercentage }} of its file descriptors"),
    ],
    "posthaste-store": [
        ("PosthasteStoreDiskFull", "page", "1m",
         f"min by (instance) (posthaste_store_disk_available_bytes) < {512 * MIB}\n"
         'and on (instance) posthaste_store_bytes{part="file"} > 0',
         "{{ $value | humanize1024 }}B are left where the database of {{ $labels.instance }} lies"),
        ("PosthasteStoreDiskFullSoon", "ticket", "1h",
         "predict_linear(posthaste_store_disk_available_bytes[6h], 3 * 86400) < 0\n"
         'and on (instance) posthaste_store_bytes{part="file"} > 0',
         "The disk of the database of {{ $labels.instance }} is full within three days"),
        ("PosthasteStoreLogGrowing", "ticket", "15m",
         f'max by (instance) (posthaste_store_bytes{{part="log"}}) > {256 * MIB}',
         "The log of the database of {{ $labels.instance }} has {{ $value | humanize1024 }}B: something keeps it from being folded in"),
        ("PosthasteRetentionBehind", "ticket", "6h",
         "time() - (max(posthaste_store_oldest_event_timestamp_seconds) > 0) > 100 * 86400",
         "The oldest event was received {{ $value | humanizeDuration }} ago: retention does not keep up, or something waits for ever"),
        ("PosthasteStoreErrors", "page", "5m",
         'sum by (kind) (rate(posthaste_store_errors_total{kind!="conflict"}[5m])) > 0.1',
         "The store fails: {{ $labels.kind }}"),
        ("PosthasteStoreConnectionsUsedUp", "ticket", "10m",
         'min by (instance) (posthaste_store_connections{state="idle"}) == 0',
         "The router {{ $labels.instance }} has no connection to the database to spare"),
        ("PosthasteClockSkew", "ticket", "5m",
         "max by (instance) (abs(posthaste_clock_offset_seconds)) > 5",
         "The clock of {{ $labels.instance }} is off by {{ $value | humanizeDuration }} against the store"),
    ],
    "posthaste-broker": [
        ("PosthasteBrokerBlocked", "page", "1m",
         'max(posthaste_broker_connection_blocked{role="publish"}) == 1',
         "The broker takes no publishes: it is out of memory or disk"),
        ("PosthasteBrokerReconnecting", "ticket", "10m",
         "sum by (role) (increase(posthaste_broker_reconnects_total[10m])) > 10",
         "Connections to the broker ({{ $labels.role }}) had to be made {{ $value | humanize }} times within ten minutes"),
        ("PosthasteRedeliveryStorm", "ticket", "10m",
         'sum(rate(posthaste_broker_messages_received_total{redelivered="true"}[5m]))\n'
         "/ sum(rate(posthaste_broker_messages_received_total[5m])) > 0.1",
         "{{ $value | humanizePercentage }} of the broker's messages come a second time"),
        ("PosthasteBatchesFailing", "ticket", "10m",
         "sum(rate(posthaste_broker_batches_failed_total[10m])) > 0.1",
         "Batches of publishes are not confirmed and are repeated"),
        ("PosthasteConfirmSlow", "ticket", "15m",
         "histogram_quantile(0.99, sum by (le) (rate(posthaste_broker_confirm_duration_seconds_bucket[5m]))) > 0.5",
         "One confirm in a hundred takes {{ $value | humanizeDuration }} or longer"),
    ],
    # RabbitMQ's own metrics, by its plugin rabbitmq_prometheus.
    "rabbitmq": [
        ("RabbitmqAlarm", "page", None,
         'max by (instance) ({__name__=~"rabbitmq_alarms_(memory_used_watermark|free_disk_space_watermark|file_descriptor_limit)"}) > 0',
         "The broker {{ $labels.instance }} has raised an alarm: it takes no publishes"),
        ("RabbitmqNodeMissing", "page", "2m",
         "count(rabbitmq_identity_info) < max_over_time(count(rabbitmq_identity_info)[1d:5m])",
         "{{ $value }} nodes of the broker answer, fewer than within the last day"),
        ("RabbitmqUnroutableDropped", "ticket", None,
         "sum(increase(rabbitmq_global_messages_unroutable_dropped_total[5m])) > 0",
         "The broker has dropped {{ $value | humanize }} messages that no queue wanted"),
        ("RabbitmqDeliveryLimitReached", "ticket", None,
         "sum(increase(rabbitmq_global_messages_dead_lettered_delivery_limit_total[15m])) > 0",
         "{{ $value | humanize }} messages were delivered too often and put aside"),
        ("RabbitmqDiskFullSoon", "ticket", "1h",
         "predict_linear(rabbitmq_disk_space_available_bytes[6h], 86400) < rabbitmq_disk_space_available_limit_bytes",
         "The broker {{ $labels.instance }} takes no more publishes within a day: its disk fills"),
    ],
}


def words(name):
    return "".join(part.title() for part in name.split("_"))


def burn(sli, objective, besides, windows):
    """Burns the budget too fast, in a long window and in a short one."""
    bad = f'posthaste:sli_bad:ratio_rate{{}}{{{{sli="{sli}"}}}}'
    parts = []
    for factor, long, short in windows:
        limit = f"{factor * (1 - objective):.6g}"
        parts.append(f"({bad.format(long)} > {limit} and {bad.format(short)} > {limit})")
    both = "\nor\n".join(parts)
    return f"(\n{both}\n)\nand on ()\n{besides}" if besides else both


def groups():
    """Every group with its rules, whether its metrics exist or not."""
    recorded = [{"record": FRESHNESS[0], "expr": FRESHNESS[1]}]
    for sli, (_, bad, _, _) in SLIS.items():
        for window in WINDOWS:
            recorded.append({
                "record": f"posthaste:sli_bad:ratio_rate{window}",
                "expr": bad.replace("WINDOW", window),
                "labels": {"sli": sli},
            })
    yield "posthaste-slis", recorded
    burning = []
    for sli, (objective, _, besides, pages) in SLIS.items():
        summary = f"{sli.replace('_', ' ')}: the budget of {objective:.2%} good is being used up"
        if pages:
            burning.append((f"Posthaste{words(sli)}BudgetBurnFast", "page", None, burn(sli, objective, besides, PAGE), summary))
        burning.append((f"Posthaste{words(sli)}BudgetBurnSlow", "ticket", None, burn(sli, objective, None, TICKET), summary))
    yield "posthaste-budgets", burning
    yield from ALERTS.items()


def listed(name):
    with open(HERE / name, encoding="utf-8") as lines:
        return {json.loads(line)["name"] for line in lines}


def metrics_in(expr):
    """The names of our metrics in an expression, without what histograms put behind them."""
    found = re.findall(r"\bposthaste_[a-z0-9_]+", expr)
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


def is_here(rule, there):
    """Whether everything that a rule asks for exists."""
    if "alert" in rule and "posthaste:sli_bad" in rule["expr"]:
        slis = set(re.findall(r'sli="(\w+)"', rule["expr"]))
        return all(is_here({"expr": SLIS[sli][1]}, there) for sli in slis)
    if "posthaste:freshness_bad" in rule["expr"]:
        return is_here({"expr": FRESHNESS[1]}, there)
    return metrics_in(rule["expr"]) <= there


def as_rule(alert, runbooks):
    name, severity, lasting, expr, summary = alert
    rule = {"alert": name, "expr": expr}
    if lasting:
        rule["for"] = lasting
    annotations = {"summary": summary}
    if severity == "page":
        annotations["runbook_url"] = f"{runbooks}/{name}.md"
    return rule | {"labels": {"severity": severity}, "annotations": annotations}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def written(rule):
    lines = []
    for key, value in rule.items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {inner}: {quoted(text)}" for inner, text in value.items()]
        elif "\n" in value:
            lines.append(f"{key}: |-")
            lines += [f"  {line}" for line in value.splitlines()]
        else:
            lines.append(f"{key}: {quoted(value) if key == 'expr' else value}")
    return "  - " + "\n    ".join(lines)


def files(runbooks):
    there = listed("metrics.jsonl")
    texts = {
        NOW: "# Written by rules.py. What a Prometheus loads: every metric it names is there.\ngroups:\n",
        NEXT: "# Written by rules.py. Not loaded yet: these wait for the metrics of wanted.jsonl.\ngroups:\n",
    }
    for name, rules in groups():
        rules = [rule if isinstance(rule, dict) else as_rule(rule, runbooks) for rule in rules]
        for file in texts:
            here = [rule for rule in rules if is_here(rule, there) == (file == NOW)]
            if here:
                interval = "  interval: 30s\n" if name == "posthaste-slis" else ""
                texts[file] += f"- name: {name}\n{interval}  rules:\n" + "\n".join(map(written, here)) + "\n"
    # The same, as the Prometheus operator wants to be told.
    texts[KUBERNETES] = (
        "# Written by deploy/prometheus/rules.py.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n"
        "metadata:\n  name: posthaste\nspec:\n"
        + "".join(f"  {line}\n" for line in texts[NOW].splitlines()[1:])
    )
    return texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--runbooks", default="docs/runbooks")
    asked = parser.parse_args()
    stale = []
    for file, text in files(asked.runbooks).items():
        if asked.check and file.read_text(encoding="utf-8") != text:
            stale.append(file.name)
        elif not asked.check:
            file.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"not what rules.py writes: {', '.join(stale)}; run deploy/prometheus/rules.py")


if __name__ == "__main__":
    main()
