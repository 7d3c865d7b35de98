"""What every check of the contract is made of: a run that counts, and answers that are compared.

A check has the operation's name and a sentence about it, prints `ok …` or `FAIL …`, and never stops
the others. Every request is seen on its way out, so that an operation counts as tried only when it
really was.
"""

import contextlib
import json
import os
import re
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone

from svix.api import Svix, SvixOptions
from svix.api.errors.http_error import HttpError
from svix.api.errors.http_validation_error import HTTPValidationError

FOLDER = os.path.dirname(os.path.abspath(__file__))
# Longest that anything may take before a check gives up: a busy machine.
PATIENCE_S = 120
# An id that was never given to anything.
NOBODY = "000000000000000000000000000"


class Run:
    """Everything that is checked, and how it went."""

    def __init__(self, url):
        self.url = url
        with open(os.path.join(FOLDER, "..", "operations.json")) as file:
            table = json.load(file)
        self.offered = {name: (method, path) for name, method, path in table["offered"]}
        self.not_offered = table["not_offered"]
        self.results = []
        self.called = set()

    def client(self, token, timeout=30.0):
        """A client of the SDK whose requests are seen."""
        # No second tries: an answer of 500 is a finding here.
        options = SvixOptions(server_url=self.url, retry_schedule=[], timeout=timeout)
        client = Svix(token, options)
        client._httpx_client.event_hooks["request"].append(self._seen)
        return client

    def _seen(self, request):
        for name, (method, path) in self.offered.items():
            pattern = re.sub(r"\{\w+\}", "[^/]+", path) + "/?"
            if request.method == method and re.fullmatch(pattern, request.url.path):
                self.called.add(name)

    @contextlib.contextmanager
    def check(self, operation, what):
        try:
            if operation not in self.offered and operation not in EXTRAS:
                raise AssertionError("operations.json does not have this operation")
            yield
            ok = True
        except Exception as error:
            ok = False
            place = traceback.extract_tb(error.__traceback__)
            at = [f"{os.path.basename(one.filename)}:{one.lineno}" for one in place]
            at = [one for one in at if one.split(":")[0] in OWN_FILES]
            why = " ".join(f"{type(error).__name__}: {error}".split())[:600]
            print(f"FAIL {operation} {what}: {why} ({' < '.join(reversed(at))})", flush=True)
        if ok:
            print(f"ok {operation} {what}", flush=True)
        self.results.append({"operation": operation, "what": what, "ok": ok})

    def summary(self, sdk):
        failed = [one for one in self.results if not one["ok"]]
        return {
            "sdk": sdk,
            "checks": len(self.results),
            "failed": len(failed),
            "operations": sorted(
                name
                for name in self.offered
                if name in self.called and any(one["operation"] == name for one in self.results)
            ),
        }


OWN_FILES = {name for name in os.listdir(FOLDER) if name.endswith(".py")}
# What is checked besides single operations.
EXTRAS = {"sdk", "errors", "webhook"}


def equal(actual, expected, what=""):
    if actual != expected:
        raise AssertionError(f"{what or 'it'} is {actual!r}, wanted {expected!r}")


def true(holds, what):
    if not holds:
        raise AssertionError(what)


def has_fields(thing, **fields):
    """All these fields have these values."""
    for name, expected in fields.items():
        equal(getattr(thing, name), expected, name)


@contextlib.contextmanager
def refused(status, code=None, loc=None):
    """What is inside is refused so: with the SDK's own exception, in the documented shape."""
    try:
        yield
    except HTTPValidationError as error:
        equal(error.status_code, 422, "status")
        equal(error.status_code, status, f"status ({error})")
        true(len(error.detail) > 0, "a 422 names what is wrong")
        for fault in error.detail:
            true(all(isinstance(part, str) for part in fault.loc), f"loc is texts: {fault.loc}")
            true(fault.loc[0] in ("body", "query", "path", "header"), f"loc begins so: {fault.loc}")
            true(fault.msg and fault.type.startswith("value_error"), f"msg and type: {fault}")
        if loc is not None:
            # What stands in a list has its place in it behind the field.
            named = [fault.loc[: len(loc)] for fault in error.detail]
            true(loc in named, f"{loc} is not among {[fault.loc for fault in error.detail]}")
        return
    except HttpError as error:
        equal(error.status_code, status, f"status ({error})")
        true(isinstance(error.code, str) and error.code, "a code")
        true(isinstance(error.detail, str) and error.detail, "a detail")
        equal(error.additional_properties, {}, "other fields of an error")
        if code is not None:
            equal(error.code, code, "code")
        return
    raise AssertionError(f"it was done; {status} was wanted")


def eventually(what, ask):
    """Asks again and again until there is an answer that is true."""
    end = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE_S} s: {what}")
        pause.wait(0.05)


def moment():
    """A moment with nothing made close to it: what is told by it was made clearly before or after."""

    def passed(when):
        return lambda: datetime.now(timezone.utc) > when + timedelta(milliseconds=20)

    eventually("time passes", passed(datetime.now(timezone.utc)))
    now = datetime.now(timezone.utc)
    eventually("time passes", passed(now))
    return now


def key_of(row):
    return getattr(row, "id", None) or row.name


def walked(fetch, limit):
    """Walks a list to its end and back, `limit` rows at a time; the rows of its pages.

    `fetch` takes `limit` and `iterator`.
    """
    pages = []
    page = fetch(limit=limit, iterator=None)
    true(page.iterator is not None or not page.data, "rows and no iterator")
    for _ in range(1_000):
        pages.append(page)
        if page.done:
            break
        equal(len(page.data), limit, "rows of a page that is not the last")
        equal(page.iterator, key_of(page.data[-1]), "iterator")
        page = fetch(limit=limit, iterator=page.iterator)
    keys = [[key_of(row) for row in page.data] for page in pages]
    flat = [key for page in keys for key in page]
    equal(len(set(flat)), len(flat), "rows that came once")
    beyond = fetch(limit=limit, iterator=pages[-1].iterator)
    equal((beyond.data, beyond.done, beyond.iterator), ([], True, None), "the page beyond the end")

    back = pages[-1]
    for earlier in reversed(keys[:-1]):
        back = fetch(limit=limit, iterator=back.prev_iterator)
        equal([key_of(row) for row in back.data], earlier, "a page on the way back")
    before = fetch(limit=limit, iterator=back.prev_iterator)
    equal((before.data, before.done), ([], True), "the page before the beginning")
    return [row for page in pages for row in page.data]
