"""Events of ProviderRegistry: stakes, units and their GPUs, compensations taken."""

from collections.abc import Mapping
from typing import Final

from protocol import events
from protocol.errors import InvariantBroken
from protocol.ledger.entries import NO_BOND, CompensationEntry, GpuEntry, ProviderEntry, UnitEntry
from protocol.ledger.replacing import replace
from protocol.ledger.state import Changes, Handler, LedgerState, broken, expect, known, unit_id_of
from protocol.units import UnitId


def staked(state: LedgerState, event: events.Staked, block_timestamp: int) -> Changes:
    entry = state.providers.get(event.provider) or ProviderEntry(event.provider)
    return Changes(providers=(replace(entry, stake_units=entry.stake_units + event.amount),))


def unbonding_started(state: LedgerState, event: events.UnbondingStarted, block_timestamp: int) -> Changes:
    entry = known(event, "provider", state.providers.get(event.provider))
    expect(event, "unbond_at", block_timestamp + state.parameters.unbonding_seconds, event.unbond_at)
    if not entry.unbonding_units < event.unbonding <= entry.stake_units - entry.locked_units:
        limits = f"more than {entry.unbonding_units}, at most {entry.stake_units - entry.locked_units}"
        raise broken(event, "unbonding", limits, event.unbonding)
    return Changes(providers=(replace(entry, unbonding_units=event.unbonding, unbond_at=event.unbond_at),))


def unbonding_cancelled(
    state: LedgerState, event: events.UnbondingCancelled, block_timestamp: int
) -> Changes:
    entry = known(event, "provider", state.providers.get(event.provider))
    expect(event, "amount", entry.unbonding_units, event.amount)
    return Changes(providers=(replace(entry, unbonding_units=0, unbond_at=0),))


def stake_withdrawn(state: LedgerState, event: events.StakeWithdrawn, block_timestamp: int) -> Changes:
    entry = known(event, "provider", state.providers.get(event.provider))
    expect(event, "amount", entry.unbonding_units, event.amount)
    if block_timestamp < entry.unbond_at:
        raise broken(event, "time", f"at least {entry.unbond_at}", block_timestamp)
    left = entry.stake_units - event.amount
    return Changes(providers=(replace(entry, stake_units=left, unbonding_units=0, unbond_at=0),))


def unit_registered(state: LedgerState, event: events.UnitRegistered, block_timestamp: int) -> Changes:
    unit, gpu_ids = event.unit, event.gpu_ids
    expect(event, "unit.provider", event.provider, unit.provider)
    expect(event, "unit_id", unit_id_of(unit.provider, unit.node_id, gpu_ids), event.unit_id)
    expect(event, "number of GPUs", unit.gpu_count, len(gpu_ids))
    expect(event, "GPU ids", tuple(sorted(set(gpu_ids))), gpu_ids)
    before = state.units.get(event.unit_id)
    if before is not None and not before.retired:
        raise broken(event, "unit", "unknown or retired", "registered")
    for gpu_id in gpu_ids:
        holder = state.gpus.get(gpu_id)
        if holder is not None and not state.units[holder].evicted:
            raise broken(event, f"unit of GPU 0x{gpu_id.hex()}", "none, or an evicted one", holder)
    entry = UnitEntry(event.unit_id, unit, gpu_ids, 0, False, False, event.position)
    return Changes(units=(entry,), gpus=tuple(GpuEntry(gpu_id, event.unit_id) for gpu_id in gpu_ids))


def unit_retired(state: LedgerState, event: events.UnitRetired, block_timestamp: int) -> Changes:
    entry = _live_unit(state, event, event.unit_id)
    expect(event, "provider", entry.unit.provider, event.provider)
    expect(event, "booked hours", 0, entry.booked_hours)
    return Changes(
        units=(replace(entry, retired=True),),
        gpus=tuple(
            GpuEntry(gpu_id, None) for gpu_id in entry.gpu_ids if state.gpus.get(gpu_id) == entry.unit_id
        ),
    )


def worker_rotated(state: LedgerState, event: events.WorkerRotated, block_timestamp: int) -> Changes:
    entry = _live_unit(state, event, event.unit_id)
    unit = replace(entry.unit, worker=event.worker, encryption_key=event.encryption_key)
    return Changes(units=(replace(entry, unit=unit),))


def compensation_withdrawn(
    state: LedgerState, event: events.CompensationWithdrawn, block_timestamp: int
) -> Changes:
    expect(event, "amount", state.compensations.get(event.account, 0), event.amount)
    return Changes(compensations=(CompensationEntry(event.account, 0),))


def slashed(state: LedgerState, event: events.Slashed, block_timestamp: int) -> Changes:
    """The market's word on the bond came just before."""
    bond = state.slashing
    expect(event, "provider", bond.provider, event.provider)
    expect(event, "renter", bond.renter, event.renter)
    expect(event, "bond", bond.units, event.restitution + event.reward + event.burned)
    entry = known(event, "provider", state.providers.get(event.provider))
    owed = dict.fromkeys((event.renter, state.parameters.court), 0)
    owed[event.renter] += event.restitution
    owed[state.parameters.court] += event.reward
    left = replace(
        entry, stake_units=entry.stake_units - bond.units, locked_units=entry.locked_units - bond.units
    )
    return Changes(
        providers=(left,),
        compensations=tuple(
            CompensationEntry(account, state.compensations.get(account, 0) + amount)
            for account, amount in owed.items()
        ),
        burned_units=state.burned_units + event.burned,
        slashing=NO_BOND,
    )


def burned_swept(state: LedgerState, event: events.BurnedSwept, block_timestamp: int) -> Changes:
    expect(event, "amount", state.burned_units, event.amount)
    return Changes(burned_units=0)


def epoch_raised(state: LedgerState, event: events.EpochRaised, block_timestamp: int) -> Changes:
    entry = state.providers.get(event.provider) or ProviderEntry(event.provider)
    expect(event, "epoch", entry.epoch + 1, event.epoch)
    return Changes(providers=(replace(entry, epoch=event.epoch),))


def unit_evicted(state: LedgerState, event: events.UnitEvicted, block_timestamp: int) -> Changes:
    entry = _live_unit(state, event, event.unit_id)
    expect(event, "evicted before", False, entry.evicted)
    expect(event, "by itself", False, event.unit_id == event.by_unit_id)
    return Changes(units=(replace(entry, evicted=True),))


def check(state: LedgerState) -> None:
    """Locked stake is the sum of the bonds of leases that still have theirs; a GPU's unit lists it."""
    locked = dict.fromkeys(state.providers, 0)
    for lease in state.leases.values():
        locked[lease.terms.offer.provider] += lease.locked_bond
    if state.slashing.units:
        locked[state.slashing.provider] += state.slashing.units
    for provider, entry in state.providers.items():
        if entry.locked_units != locked[provider]:
            raise InvariantBroken(locked[provider], entry.locked_units, subject=f"stake locked of {provider}")
        if entry.free_units < 0:
            raise InvariantBroken("at least 0", entry.free_units, subject=f"free stake of {provider}")
    whole = {
        gpu: unit.unit_id
        for unit in state.units.values()
        if not unit.retired and not unit.evicted
        for gpu in unit.gpu_ids
    }
    left = {gpu: unit_id for gpu, unit_id in state.gpus.items() if gpu not in whole}
    strays = [gpu for gpu, unit_id in left.items() if gpu not in state.units[unit_id].gpu_ids]
    if {**left, **whole} != state.gpus or strays:
        raise InvariantBroken(len(whole), len(state.gpus), subject="GPUs in units")
    if any(state.units[unit_id].retired for unit_id in left.values()):
        raise InvariantBroken("GPUs of live units", "of retired ones", subject="GPUs in units")


def _live_unit(
    state: LedgerState, event: events.UnitRetired | events.WorkerRotated | events.UnitEvicted, unit_id: UnitId
) -> UnitEntry:
    entry = known(event, "unit", state.units.get(unit_id))
    expect(event, "unit retired", False, entry.retired)
    return entry


HANDLERS: Final[Mapping[type[events.Event], Handler]] = {
    events.Staked: staked,
    events.UnbondingStarted: unbonding_started,
    events.UnbondingCancelled: unbonding_cancelled,
    events.StakeWithdrawn: stake_withdrawn,
    events.UnitRegistered: unit_registered,
    events.UnitRetired: unit_retired,
    events.WorkerRotated: worker_rotated,
    events.Slashed: slashed,
    events.BurnedSwept: burned_swept,
    events.EpochRaised: epoch_raised,
    events.UnitEvicted: unit_evicted,
    events.CompensationWithdrawn: compensation_withdrawn,
}
