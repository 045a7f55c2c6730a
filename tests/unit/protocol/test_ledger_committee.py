"""The folds of quorum and court: what they owe, and every event that those contracts would not emit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol import events as ev
from protocol.errors import InvariantBroken
from protocol.ledger import LedgerState, apply
from protocol.ledger.court import CourtState, dispute_id_of
from protocol.ledger.quorum import QuorumState
from protocol.ledger.state import unit_id_of
from protocol.structs import DisputeKey, DisputeKind, GpuAttestation, Outcome
from protocol.units import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    Digest,
    LeaseId,
    ProofHash,
    address_of,
    pack_name,
)
from tests.unit.protocol.history import PARAMETERS
from tests.unit.protocol.later_history import later_history
from tests.unit.protocol.test_manifest import MANIFEST

AT = later_history()[0][0].position
ALICE, BOB, CAROL, OWNER = (address_of(bytes([n]) * 20) for n in (0xA1, 0xB0, 0xCA, 0x0E))
ROTATION, EXIT = MANIFEST.parameters.rotation_seconds, MANIFEST.parameters.exit_seconds
BOND = MANIFEST.parameters.member_bond
NOW = 1_000
GPU_A, GPU_B = b"\x01" * 32, b"\x02" * 32
PROFILE = Digest(b"\x0c" * 32)


def quorum(*events: tuple[ev.Event, int]) -> QuorumState:
    state = QuorumState.of(MANIFEST)
    for event, time in events:
        state.apply(event, time)
    return state


def added(member: int, signer: Address, time: int = NOW) -> tuple[ev.Event, int]:
    return ev.MemberAdded(AT, member, signer, OWNER, time + ROTATION), time


def bonded(member: int, amount: int = BOND) -> tuple[ev.Event, int]:
    return ev.BondDeposited(AT, member, OWNER, amount), NOW


def attested(
    gpu_ids: tuple[bytes, ...], node: str = "node", seed_block: int = 5, expires_at: int = NOW + 100
) -> ev.GpusAttested:
    node_id = pack_name(node)
    unit_id = unit_id_of(OWNER, node_id, gpu_ids)
    attestation = GpuAttestation(
        unit_id=unit_id,
        provider=OWNER,
        node_id=node_id,
        gpu_ids=gpu_ids,
        gpu_class=pack_name("RTX"),
        vram_mib=1,
        measured_gops=2,
        seed_block=seed_block,
        seed_block_hash=bytes(32),
        report_digest=ZERO_DIGEST,
        expires_at=expires_at,
    )
    return ev.GpusAttested(AT, unit_id, OWNER, attestation)


def refused(state: Any, event: ev.Event, message: str, *time: int) -> None:
    with pytest.raises(InvariantBroken, match=message):
        state.apply(event, *time)


def test_members__bonded_and_rotated_in__are_active() -> None:
    state = quorum(added(0, ALICE), added(1, BOB), bonded(0), bonded(1, BOND - 1))
    assert (state.active_members(NOW + ROTATION - 1), state.active_members(NOW + ROTATION)) == (0, 0b01)
    state.apply(ev.BondDeposited(AT, 1, CAROL, 1), NOW)
    assert state.active_members(NOW + ROTATION) == 0b11
    assert state.bond_units == 2 * BOND


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (ev.MemberAdded(AT, 2, BOB, OWNER, NOW + ROTATION), "member: expected 1"),
        (ev.MemberAdded(AT, 1, ALICE, OWNER, NOW + ROTATION), "signer"),
        (ev.MemberAdded(AT, 1, BOB, OWNER, NOW), "active_at"),
        (ev.MemberRemoved(AT, 1, NOW + ROTATION), "member: expected known"),
        (ev.MemberRemoved(AT, 0, NOW), "leaves_at"),
        (ev.BondDeposited(AT, 1, OWNER, 5), "member: expected known"),
        (ev.MemberPenalised(AT, 0, BOND + 1), "at most"),
        (ev.BondWithdrawn(AT, 0, OWNER, BOND), "removed before"),
        (ev.BondWithdrawn(AT, 0, OWNER, BOND - 1), "amount"),
        (ev.ThresholdScheduled(AT, 2, NOW + ROTATION), "threshold"),
        (ev.ThresholdScheduled(AT, 1, NOW), "active_at"),
    ],
)
def test_quorum__event_against_its_rules__is_noticed(event: ev.Event, message: str) -> None:
    refused(quorum(added(0, ALICE), bonded(0)), event, message, NOW)


def test_member__removed__leaves_with_its_bond_after_the_exit() -> None:
    state = quorum(added(0, ALICE), bonded(0), (ev.MemberRemoved(AT, 0, NOW + 50 + ROTATION), NOW + 50))
    left = NOW + 50 + ROTATION
    assert (state.active_members(left - 1), state.active_members(left)) == (1, 0)
    refused(state, ev.MemberRemoved(AT, 0, left + ROTATION), "removed before", left)
    state.apply(ev.MemberPenalised(AT, 0, 7), left)
    out = ev.BondWithdrawn(AT, 0, CAROL, BOND - 7)
    refused(state, out, "time", left + EXIT - 1)
    state.apply(out, left + EXIT)
    assert (state.members, state.bond_units) == ({}, 0)
    state.apply(*added(0, BOB, left + EXIT))


def test_threshold__scheduled__counts_after_the_rotation() -> None:
    state = quorum(added(0, ALICE), added(1, BOB), added(2, CAROL))
    first = state.threshold
    state.apply(ev.ThresholdScheduled(AT, 3, NOW + ROTATION), NOW)
    assert (state.threshold_at(NOW + ROTATION - 1), state.threshold_at(NOW + ROTATION)) == (first, 3)
    state.apply(ev.ThresholdScheduled(AT, 2, NOW + 9 + ROTATION), NOW + 9)
    assert state.threshold_at(NOW + 9) == 3
    refused(state, ev.ThresholdScheduled(AT, 4, NOW + ROTATION), "more than half of 3", NOW)
    refused(state, ev.ThresholdScheduled(AT, 1, NOW + ROTATION), "more than half of 3", NOW)


def test_attestation__later_measurement__moves_the_card() -> None:
    state = quorum((attested((GPU_A, GPU_B)), NOW))
    moved = attested((GPU_A,), "other", seed_block=6)
    assert state.attested_unit(GPU_A, NOW + 99) is not None
    assert state.attested_unit(GPU_A, NOW + 100) is None
    refused(state, attested((GPU_A,), "other", seed_block=5), "seed_block: expected at least 6", NOW + 1)
    state.apply(moved, NOW + 1)
    assert state.attested_unit(GPU_A, NOW + 2) == moved.unit_id
    assert state.attested_unit(GPU_B, NOW + 2) is None  # a unit is all of its cards


def test_ledger__attestations__has_the_findings_of_the_quorum() -> None:
    told = [
        (attested((GPU_A, GPU_B)), NOW),
        (attested((GPU_A,), "other", seed_block=6), NOW + 1),
        (attested((GPU_B,), "third", seed_block=7), NOW + 2),
        (attested((GPU_A,), "fourth", seed_block=8, expires_at=NOW + 500), NOW + 3),
    ]
    ours, theirs = LedgerState.empty(PARAMETERS), quorum(*told)
    for event, instant in told:
        ours.merge(apply(ours, event, instant))
    assert (ours.findings, ours.attested) == (theirs.findings, theirs.attested)
    assert [entry.expires_at for entry in ours.findings.values()] == [NOW + 1, NOW + 3, NOW + 100, NOW + 500]
    assert [entry.attested_at for entry in ours.findings.values()] == [NOW, NOW + 1, NOW + 2, NOW + 3]
    with pytest.raises(InvariantBroken, match="seed_block"):
        apply(ours, attested((GPU_B,), "fifth", seed_block=7), NOW + 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda event: replace(event, unit_id=b"\x09" * 32), "unit_id"),
        (lambda event: replace(event, provider=ALICE), "provider"),
        (lambda event: replace(event, attestation=replace(event.attestation, node_id=bytes(32))), "unit_id"),
        (lambda event: attested((GPU_B, GPU_A)), "GPU ids"),
        (lambda event: attested((GPU_A,), expires_at=NOW), "expires_at"),
        (lambda event: attested((GPU_A,), expires_at=NOW + 100), "expires_at"),
    ],
)
def test_attestation__unlike_its_unit_or_not_newer__is_noticed(
    change: Callable[[Any], ev.Event], message: str
) -> None:
    event = attested((GPU_A,))
    refused(quorum((event, NOW)), change(event), message, NOW)


def test_profile__calibrated_twice_or_to_nothing__is_noticed() -> None:
    state = quorum((ev.ProfileCalibrated(AT, PROFILE, 5), NOW))
    assert state.spreads == {PROFILE: 5}
    refused(state, ev.ProfileCalibrated(AT, PROFILE, 5), "calibrated before", NOW)
    refused(state, ev.ProfileCalibrated(AT, ZERO_DIGEST, 0), "max_spread", NOW)


def test_quorum__events_of_others__change_nothing() -> None:
    assert quorum((ev.CourtBurnedSwept(AT, 5), NOW)) == quorum()


CHALLENGE = MANIFEST.parameters.challenge_bond
LEASE, PROOF = LeaseId(b"\x21" * 32), ProofHash(b"\x24" * 32)
KEY = DisputeKey(LEASE, PROOF, DisputeKind.JOB, ZERO_DIGEST, 0, ZERO_ADDRESS)
DISPUTE = dispute_id_of(KEY)
TRACE = dispute_id_of(replace(KEY, kind=DisputeKind.TRACE, segment=5))
OPENED = ev.Challenged(AT, DISPUTE, LEASE, ALICE, PROOF, DisputeKind.JOB, ZERO_DIGEST, 0, 9)
REFUTED = ev.TraceRefuted(AT, TRACE, LEASE, BOB, PROOF, ZERO_DIGEST, 5)


def court(*events: ev.Event) -> CourtState:
    state = CourtState.of(MANIFEST)
    state.apply(ev.Deposited(AT, ALICE, CHALLENGE + 10))
    for event in events:
        state.apply(event)
    return state


def resolved(outcome: Outcome, slashed: int = 0, burned: int = 0) -> ev.DisputeResolved:
    return ev.DisputeResolved(AT, DISPUTE, LEASE, outcome, slashed, burned, 0)


def test_challenge__bond__leaves_the_balance_and_stays_owed() -> None:
    state = court(OPENED)
    assert state.balances[ALICE] == 10 and list(state.disputes) == [DISPUTE]
    assert state.owed_units == CHALLENGE + 10
    refused(state, OPENED, "open before")
    refused(court(), replace(OPENED, challenger=BOB), "at most 0")
    refused(court(), replace(OPENED, lease_id=LeaseId(bytes(32))), "dispute_id")
    refused(court(), replace(OPENED, kind=DisputeKind.BISECTION), "dispute_id")
    bisection = dispute_id_of(replace(KEY, kind=DisputeKind.BISECTION, challenger=ALICE))
    court(replace(OPENED, dispute_id=bisection, kind=DisputeKind.BISECTION))


def test_challenge_lost__bond__is_paid_and_burned_to_the_unit() -> None:
    half = ev.Credited(AT, BOB, DISPUTE, CHALLENGE // 2)
    state = court(OPENED, half)
    burned = CHALLENGE - CHALLENGE // 2
    for wrong in (burned - 1, burned + 1):
        refused(
            court(OPENED, ev.Credited(AT, BOB, DISPUTE, CHALLENGE // 2)),
            resolved(Outcome.STANDS, 0, wrong),
            "paid",
        )
    state.apply(resolved(Outcome.STANDS, 0, burned))
    assert (state.burned_units, state.disputes, state.owed_units) == (burned, {}, CHALLENGE + 10)
    refused(state, ev.CourtBurnedSwept(AT, burned - 1), "amount")
    state.apply(ev.CourtBurnedSwept(AT, burned))
    assert state.owed_units == CHALLENGE // 2 + 10


@pytest.mark.parametrize(("prize", "sound"), [(299, False), (300, True), (400, True), (401, False)])
def test_challenge_won__of_the_slashed_bond__reward_and_fee_alone_are_paid(prize: int, sound: bool) -> None:
    state = court(OPENED, ev.Credited(AT, ALICE, DISPUTE, CHALLENGE + prize))
    if sound:
        state.apply(resolved(Outcome.REFUTED, 1000))
        assert state.owed_units == CHALLENGE + 10 + prize
    else:
        refused(state, resolved(Outcome.REFUTED, 1000), "paid out of the slashed bond")


def test_refuted_trace__without_a_bond__pays_the_reward() -> None:
    state = court(REFUTED, ev.Credited(AT, BOB, TRACE, 300))
    ended = replace(resolved(Outcome.REFUTED, 1000), dispute_id=TRACE)
    refused(state, replace(ended, outcome=Outcome.WITHHELD), "outcome")
    state = court(REFUTED, ev.Credited(AT, BOB, TRACE, 300))
    state.apply(ended)
    assert (state.balances[BOB], state.ended, state.refuted) == (300, 1, set())
    refused(court(), replace(REFUTED, index=6), "dispute_id")


def test_dispute__unknown_or_ended__pays_nothing_and_ends_no_more() -> None:
    refused(court(), ev.Credited(AT, BOB, DISPUTE, 1), "dispute open")
    refused(court(), resolved(Outcome.MOOT), "paid|dispute")
    refused(court(OPENED), resolved(Outcome.MOOT), "paid")
    state = court(OPENED, ev.Credited(AT, ALICE, DISPUTE, CHALLENGE))
    refused(state, replace(resolved(Outcome.MOOT), lease_id=LeaseId(bytes(32))), "lease")


def test_relayed_call__of_the_court__counts_nonces_of_its_own() -> None:
    state = court(ev.CourtRelayed(AT, ALICE, 0, BOB), ev.CourtRelayed(AT, ALICE, 1, BOB))
    assert state.relay_nonces == {ALICE: 2}
    refused(state, ev.CourtRelayed(AT, ALICE, 1, BOB), "nonce")
    refused(state, ev.CourtRelayed(AT, BOB, 1, BOB), "nonce")


def test_withdrawal__beyond_the_balance__is_noticed() -> None:
    state = court()
    refused(state, ev.CourtWithdrawn(AT, ALICE, ALICE, CHALLENGE + 11), "at most")
    state.apply(ev.CourtWithdrawn(AT, ALICE, BOB, CHALLENGE + 10))
    assert state.owed_units == 0
