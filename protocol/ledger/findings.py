"""Event GpusAttested of OracleQuorum: which units' GPUs were found real, how fast, until when."""

from collections.abc import Mapping
from typing import Final

from protocol import events
from protocol.ledger.entries import FindingEntry
from protocol.ledger.replacing import replace
from protocol.ledger.state import Changes, Handler, LedgerState, broken, expect, unit_id_of
from protocol.units import UnitId


def gpus_attested(state: LedgerState, event: events.GpusAttested, block_timestamp: int) -> Changes:
    found = findings_after(state.findings, state.attested, event, block_timestamp)
    return Changes(findings=tuple(found.values()))


def findings_after(
    findings: Mapping[UnitId, FindingEntry],
    attested: Mapping[bytes, UnitId],
    event: events.GpusAttested,
    now: int,
) -> dict[UnitId, FindingEntry]:
    """The findings that the attestation changes; `attested` says in which unit each GPU was found last.

    InvariantBroken where it is not what the contract promises.
    """
    attestation, unit_id = event.attestation, event.unit_id
    expected = unit_id_of(attestation.provider, attestation.node_id, attestation.gpu_ids)
    expect(event, "unit_id", expected, attestation.unit_id)
    expect(event, "unit_id", expected, unit_id)
    expect(event, "provider", attestation.provider, event.provider)
    expect(event, "GPU ids", tuple(sorted(set(attestation.gpu_ids))), attestation.gpu_ids)
    before = findings.get(unit_id)
    if attestation.expires_at <= max(now, before.expires_at if before else 0):
        raise broken(event, "expires_at", "after now and the last one", attestation.expires_at)
    changed: dict[UnitId, FindingEntry] = {}
    for gpu_id in attestation.gpu_ids:
        held = attested.get(gpu_id)
        if held is None or held == unit_id or held in changed or now >= findings[held].expires_at:
            continue
        # A card moves from host to host; what was measured later is right. A unit is all its cards.
        other = findings[held]
        if attestation.seed_block <= other.attestation.seed_block:
            least = other.attestation.seed_block + 1
            raise broken(event, "seed_block", f"at least {least}", attestation.seed_block)
        changed[held] = replace(other, expires_at=now)
    changed[unit_id] = FindingEntry(attestation, attestation.expires_at, now)
    return changed


HANDLERS: Final[Mapping[type[events.Event], Handler]] = {events.GpusAttested: gpus_attested}
