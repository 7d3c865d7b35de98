"""Holds what is published to the official validators: JSON Schema's reference tests' implementation for
Python, and the schema that the AsyncAPI initiative publishes of its documents.

usage: validate_schemas.py SCHEMAS ASYNCAPI_SPECS

SCHEMAS is a folder with events/ and asyncapi.json, ASYNCAPI_SPECS the folder of the package @asyncapi/specs.
Prints one JSON line: how much was validated. Prints what is wrong, and exits with 1, if anything is.
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft7Validator, Draft202012Validator

SCHEMAS, SPECS = (Path(folder) for folder in sys.argv[1:])
faults = []
counted = {"types": 0, "examples": 0, "properties": 0}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def hold(where, validator, instance):
    for fault in validator.iter_errors(instance):
        pointer = "/".join(str(part) for part in fault.absolute_path)
        faults.append(f"{where}: /{pointer}: {fault.message[:300]}")


def properties(where, schema, whole):
    """Each property's own examples, by its own schema."""
    for name, part in schema.get("properties", {}).items():
        for example in part.get("examples", []):
            alone = {**part, "$defs": whole["$defs"]}
            hold(f"{where}/{name}", Draft202012Validator(alone), example)
            counted["properties"] += 1
        properties(f"{where}/{name}", part, whole)


for path in sorted(SCHEMAS.glob("events/*.json")):
    schema = read(path)
    hold(f"{path.name} as a schema", Draft202012Validator(Draft202012Validator.META_SCHEMA), schema)
    for example in schema["examples"]:
        hold(path.name, Draft202012Validator(schema), example)
        counted["examples"] += 1
    properties(path.name, schema, schema)
    for name, part in schema["$defs"].items():
        properties(f"{path.name}#{name}", part, schema)
    counted["types"] += 1

asyncapi = read(SCHEMAS / "asyncapi.json")
version = asyncapi["asyncapi"]
official = read(SPECS / "schemas" / f"{version}.json")
hold("asyncapi.json", Draft7Validator(official), asyncapi)
# The examples of messages, by the payloads and headers that the document gives them.
for name, message in asyncapi["components"]["messages"].items():
    for example in message.get("examples", []):
        for part in ("payload", "headers"):
            if part in example and part in message:
                hold(f"asyncapi.json: {name}", Draft7Validator(message[part]), example[part])
                counted["examples"] += 1

print(json.dumps({**counted, "asyncapi": version}))
for fault in faults:
    print(fault, file=sys.stderr)
sys.exit(1 if faults else 0)
