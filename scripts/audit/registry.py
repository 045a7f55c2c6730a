"""The registry's state against the events: stakes, compensations, units, workers, hours, GPUs."""

from web3 import Web3

from protocol.contracts import Registry, StakeAccount
from protocol.ledger import UnitEntry
from protocol.structs import Unit
from protocol.units import ZERO_ADDRESS, ZERO_BYTES32, UnitId, Units, UnixTime, to_hex
from scripts.audit.history import History
from scripts.audit.report import Section

NO_UNIT = Unit(ZERO_ADDRESS, ZERO_ADDRESS, ZERO_BYTES32, ZERO_BYTES32, ZERO_BYTES32, 0, 0)


def check_stakes(web3: Web3, history: History, section: Section) -> None:
    """Every provider's stake, locked and unbonding, from when on the latter may leave, and its epoch."""
    registry, block = Registry(web3, history.manifest.registry), history.block.number
    for entry in history.state.providers.values():
        actual = registry.stake_of(entry.provider, block)
        expected = StakeAccount(
            Units(entry.stake_units),
            Units(entry.locked_units),
            Units(entry.unbonding_units),
            UnixTime(entry.unbond_at),
            entry.epoch,
        )
        for code in ("stake_units", "locked_units", "unbonding_units", "unbond_at", "epoch"):
            subject = f"{code} of provider {entry.provider}"
            section.compare("provider_stake", subject, getattr(expected, code), getattr(actual, code))


def check_compensations(web3: Web3, history: History, section: Section) -> None:
    """What everybody may take from the registry, the court included, and what is to be burned."""
    registry, block = Registry(web3, history.manifest.registry), history.block.number
    for account in sorted({*history.accounts, *history.state.compensations}):
        expected = history.state.compensations.get(account, 0)
        section.compare("compensation", account, expected, registry.compensation_of(account, block))
    section.compare("burned", "registry", history.state.burned_units, registry.burned(block))


def check_units(web3: Web3, history: History, section: Section) -> None:
    """Every unit, its worker, its booked hours, and which unit each GPU is in."""
    registry, block = Registry(web3, history.manifest.registry), history.block.number
    known = history.state.units
    found = zip(
        known.values(), registry.units_of(known, block), registry.workers_of(known, block), strict=True
    )
    for entry, (unit, booked_hours), worker in found:
        subject = f"unit {to_hex(entry.unit_id)}"
        section.compare("unit", subject, NO_UNIT if entry.retired else entry.unit, unit)
        section.compare("unit_booked_hours", subject, hex(entry.booked_hours), hex(booked_hours))
        expected_worker = ZERO_ADDRESS if entry.retired else entry.unit.worker
        section.compare("unit_worker", subject, expected_worker, worker)
    gpus = _unit_of_gpus(history)
    for (gpu_id, expected), actual in zip(gpus.items(), registry.units_of_gpus(gpus, block), strict=True):
        section.compare("gpu_unit", f"GPU {to_hex(gpu_id)}", expected, actual)


def _unit_of_gpus(history: History) -> dict[bytes, UnitId]:
    """For every GPU ever named, the unit that it is in now, or zero."""
    entries: list[UnitEntry] = list(history.state.units.values())
    nowhere = UnitId(ZERO_BYTES32)
    return {gpu: history.state.gpus.get(gpu, nowhere) for entry in entries for gpu in entry.gpu_ids}
