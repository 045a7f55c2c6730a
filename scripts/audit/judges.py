"""The quorum's and the court's state against the events: members, bonds, findings, balances, disputes."""

from web3 import Web3

from protocol.contracts import Court, Finding, Member, Quorum
from protocol.ledger.quorum import MAX_MEMBERS
from protocol.units import ZERO_ADDRESS, ZERO_BYTES32, Units, UnixTime, to_hex
from scripts.audit.history import History
from scripts.audit.report import Section

NOBODY = Member(ZERO_ADDRESS, Units(0), ZERO_ADDRESS, UnixTime(0), UnixTime(0))
NO_FINDING = Finding(ZERO_BYTES32, 0, 0, UnixTime(0))


def check_quorum(web3: Web3, history: History, section: Section) -> None:
    """Every seat, who may sign now, how many decide, every unit's finding, every calibration."""
    quorum, state = Quorum(web3, history.manifest.quorum), history.quorum
    block, now = history.block.number, history.block.timestamp
    for index, actual in enumerate(quorum.members_at(range(MAX_MEMBERS), block)):
        entry = state.members.get(index)
        expected = NOBODY
        if entry is not None:
            expected = Member(
                entry.signer,
                Units(entry.bond_units),
                entry.operator,
                UnixTime(entry.active_at),
                UnixTime(entry.leaves_at),
            )
        section.compare("quorum_member", f"member {index}", expected, actual)
    section.compare(
        "quorum_active", "members", bin(state.active_members(now)), bin(quorum.active_members(block))
    )
    section.compare("quorum_threshold", "quorum", state.threshold_at(now), quorum.threshold(block))
    for profile, spread in state.spreads.items():
        section.compare("calibration", to_hex(profile), spread, quorum.max_spread_of(profile, block))
    _check_findings(quorum, history, section)


def _check_findings(quorum: Quorum, history: History, section: Section) -> None:
    state, block, now = history.quorum, history.block.number, history.block.timestamp
    units = history.state.units
    unit_ids = sorted({*state.findings, *units})
    for unit_id, actual in zip(unit_ids, quorum.findings_of(unit_ids, block), strict=True):
        entry = state.findings.get(unit_id)
        expected = NO_FINDING
        if entry is not None and now < entry.expires_at:
            found, expires_at = entry.attestation, UnixTime(entry.expires_at)
            expected = Finding(found.gpu_class, found.measured_gops, found.vram_mib, expires_at)
        section.compare("finding", f"unit {to_hex(unit_id)}", expected, actual)
    gpu_ids = sorted({*state.attested, *(gpu for unit in units.values() for gpu in unit.gpu_ids)})
    for gpu_id, actual in zip(gpu_ids, quorum.attested_units_of(gpu_ids, block), strict=True):
        unit = state.attested_unit(gpu_id, now) or ZERO_BYTES32
        section.compare("gpu_attested", f"GPU {to_hex(gpu_id)}", unit, actual)


def check_court(web3: Web3, history: History, section: Section) -> None:
    """Every balance and nonce, every open dispute and its challenger, and what is to be burned."""
    court, block = Court(web3, history.manifest.court), history.block.number
    state = history.court
    for account in sorted({*history.accounts, *state.balances}):
        expected = state.balances.get(account, 0)
        section.compare("court_balance", account, expected, court.balance_of(account, block))
        expected = state.relay_nonces.get(account, 0)
        section.compare("court_relay_nonce", account, expected, court.relay_nonce(account, block))
    section.compare("burned", "court", state.burned_units, court.burned(block))
    for dispute_id, entry in state.disputes.items():
        actual = court.dispute_of(dispute_id, block).challenger
        section.compare("dispute", f"dispute {to_hex(dispute_id)}", entry.challenger, actual)
