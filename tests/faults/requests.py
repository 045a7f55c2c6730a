"""Requests that no honest client sends, and every endpoint asked by every role."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from oracle.api.access import Role
from tests.integration.oracle.malformed import send_malformed
from tests.integration.oracle.oracle_world import make_world
from tests.integration.oracle.test_oracle_access import walk

REQUESTS_EACH = 200
"""10,000 with N = 50."""


def figures(folder: Path, count: int) -> dict[str, Any]:
    with make_world(folder / "world") as world:
        checks, wrong = walk(world)
        for check, got in wrong:
            print(f"{check.rule.method} {check.rule.path} as {check.role}: {got}", file=sys.stderr)
        port = int(world.oracle.url.rsplit(":", 1)[1])
        bearer = f"Bearer {world.token(Role.RENTER)}"
        outcome = send_malformed("127.0.0.1", port, bearer, REQUESTS_EACH * count, seed=count)
        for request, answer in outcome.server_errors:
            print(request[:300], answer[:300], file=sys.stderr)
        failures = len(world.oracle.lines("request_failed"))
    return {
        "malformed_requests": outcome.sent,
        "responses_5xx": max(len(outcome.server_errors), failures),
        "access_checks": checks,
        "access_violations": len(wrong),
    }
