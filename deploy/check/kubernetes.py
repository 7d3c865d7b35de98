#!/usr/bin/env python3
"""Holds rendered Kubernetes objects to their schemas, strictly: a field that nobody knows is a mistake, not a wish.

    kubernetes.py FILE…

Kubernetes' own kinds by the schemas of kubernetes-validate. Those of operators by small ones below, which have the fields that
are used here: written from the operators' own definitions, which are not ours to keep a copy of. And what no schema knows: that a
port has the name that a probe asks for, and that a probe asks for a path that the program serves.
"""

import re
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parent.parent.parent
VERSION = "1.34"
SPAN = {"type": "string", "pattern": r"^[0-9]+(ms|s|m|h)$"}
TEXT, NUMBER, TRUTH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}


def thing(required=(), **fields):
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def several(of):
    return {"type": "array", "items": of, "minItems": 1}


ANYTHING = {"type": "object"}
SELECTOR = thing(["matchLabels"], matchLabels={"type": "object", "additionalProperties": TEXT})
RULE = thing(
    ["expr"], alert=TEXT, record=TEXT, expr=TEXT, **{"for": SPAN},
    labels={"type": "object", "additionalProperties": TEXT}, annotations={"type": "object", "additionalProperties": TEXT},
)
OPERATORS = {
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): thing(
        ["replicas"], replicas=NUMBER, image=TEXT, delayStartSeconds=NUMBER, terminationGracePeriodSeconds=NUMBER,
        resources=thing(requests=ANYTHING, limits=ANYTHING), persistence=thing(storage=TEXT, storageClassName=TEXT), affinity=ANYTHING,
        rabbitmq=thing(additionalPlugins=several(TEXT), additionalConfig=TEXT, advancedConfig=TEXT),
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): thing(
        ["selector", "podMetricsEndpoints"], jobLabel=TEXT, selector=SELECTOR, sampleLimit=NUMBER,
        podMetricsEndpoints=several(thing(["port"], port=TEXT, path=TEXT, interval=SPAN, scrapeTimeout=SPAN)),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): thing(
        ["groups"], groups=several(thing(["name", "rules"], name=TEXT, interval=SPAN, rules=several(RULE))),
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): thing(
        ["scaleTargetRef", "triggers"], scaleTargetRef=thing(["name"], name=TEXT), minReplicaCount=NUMBER, maxReplicaCount=NUMBER,
        pollingInterval=NUMBER, cooldownPeriod=NUMBER, fallback=thing(["failureThreshold", "replicas"], failureThreshold=NUMBER, replicas=NUMBER),
        advanced=thing(horizontalPodAutoscalerConfig=thing(behavior=ANYTHING)),
        triggers=several(thing(
            ["type", "metadata"], type={"const": "prometheus"}, metricType={"enum": ["AverageValue", "Value"]},
            metadata=thing(["serverAddress", "query", "threshold"], serverAddress=TEXT, query=TEXT, threshold=TEXT),
        )),
    ),
}

wrong = []


def look_at(thing_):
    kind = (thing_["apiVersion"], thing_["kind"])
    called = f"{thing_['kind']} {thing_['metadata']['name']}"
    if kind in OPERATORS:
        for error in jsonschema.Draft202012Validator(OPERATORS[kind]).iter_errors(thing_["spec"]):
            wrong.append(f"{called}: spec.{'.'.join(map(str, error.path))}: {error.message}")
        return
    try:
        kubernetes_validate.validate(thing_, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        wrong.append(f"{called}: {'.'.join(map(str, error.path))}: {error.message}")


def probes(deployment):
    """Ports by the names that are asked for, and paths that are served."""
    served = (ROOT / "src/api/admin.rs").read_text(encoding="utf-8")
    api = (ROOT / "schemas/openapi.json").read_text(encoding="utf-8")
    spec = deployment["spec"]["template"]["spec"]
    for container in spec["containers"]:
        ports = {port["name"] for port in container["ports"]}
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[name]["httpGet"]
            if asked["port"] not in ports:
                wrong.append(f"{name}: there is no port {asked['port']}")
            there = f'"{asked["path"]}"' in (served if asked["port"] == "admin" else api)
            if not there:
                wrong.append(f"{name}: {asked['path']} is not served on {asked['port']}")
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        wrong.extend(f"the volume {name} is not there" for name in mounted - {volume["name"] for volume in spec["volumes"]})
    grace = re.search(r'key: "shutdown.grace_ms",\s+default: "(\d+)"', (ROOT / "src/config/settings.rs").read_text(encoding="utf-8"))
    least = int(grace.group(1)) // 1000 + 30  # three steps behind it, of ten seconds each
    if spec["terminationGracePeriodSeconds"] < least:
        wrong.append(f"terminationGracePeriodSeconds is less than a stop may take: {least}")


def main():
    count = 0
    for file in sys.argv[1:]:
        things = [found for found in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")) if found]
        count += len(things)
        for found in things:
            look_at(found)
            if found["kind"] == "Deployment":
                probes(found)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{count} objects")


if __name__ == "__main__":
    main()
