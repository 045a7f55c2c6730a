"""What a provider does on chain: stake, units, offers."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import BadInput
from protocol.events import EpochRaised, OfferListed, UnitRegistered, WorkerRotated, decode, emitters
from protocol.keccak import keccak256
from protocol.ledger.offers import EPOCH_SHIFT
from protocol.manifest import DeploymentManifest
from protocol.outbox import Receipt
from protocol.sealing import check_reader
from protocol.signed import SignedOffer
from protocol.structs import Offer, OfferKind, Unit
from protocol.typed_data import hash_struct, sign
from protocol.units import ZERO_BYTES32, Address, OfferHash, UnitId, hex_bytes, pack_name, to_hex
from scripts.client.purse import Purse, fresh_intent

SALT_BITS = 64
VENDOR_WORDS = ("NVIDIA ", "GeForce ")


class HostGpu(msgspec.Struct, frozen=True):
    """One device of `HostInventory`."""

    id: str
    name: str
    vram_mib: int


class HostInventory(msgspec.Struct, frozen=True):
    """What `python -m worker identify --json` prints; the parts that a registration needs."""

    gpus: tuple[HostGpu, ...]
    encryption_key: str | None = None


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of one unit, and what its worker's artifacts are sealed to; zero: nothing is."""

    gpu_class: str
    gpu_ids: tuple[bytes, ...]
    vram_mib: int
    encryption_key: bytes = ZERO_BYTES32


@dataclass(frozen=True, slots=True)
class OfferDraft:
    """An offer as a provider thinks of it; money in base units of the lease's and the stake token."""

    unit_id: UnitId
    token: Address
    price_per_hour: int
    weekly_hours: int
    min_seconds: int
    max_seconds: int
    notice_seconds: int
    bond: int
    valid_seconds: int


def read_devices(path: Path) -> Devices:
    """The devices of an inventory file; all of one unit must be of one class. BadInput."""
    try:
        inventory = msgspec.json.decode(path.read_bytes(), type=HostInventory)
    except OSError as error:
        raise BadInput(f"inventory {path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadInput(
            f"inventory {path}: expected what `python -m worker identify --json` prints: {error}"
        ) from error
    names = {gpu.name for gpu in inventory.gpus}
    if len(names) != 1:
        raise BadInput(f"inventory {path}: expected devices of one class, got {sorted(names)}")
    return Devices(
        gpu_class=class_of(names.pop()),
        gpu_ids=tuple(sorted(hex_bytes(gpu.id, 32, "GPU id") for gpu in inventory.gpus)),
        vram_mib=min(gpu.vram_mib for gpu in inventory.gpus),
        encryption_key=_encryption_key(inventory),
    )


def _encryption_key(inventory: HostInventory) -> bytes:
    if inventory.encryption_key is None:
        return ZERO_BYTES32
    key = hex_bytes(inventory.encryption_key, 32, "encryption key")
    check_reader(key)
    return key


def class_of(name: str) -> str:
    """The class that renters ask for: the card's name without its vendor."""
    for word in VENDOR_WORDS:
        name = name.removeprefix(word)
    return name[:32]


def stake(purse: Purse, amount_units: int) -> Receipt:
    """Adds to the stake; the first stake makes the account a provider."""
    chain = purse.chain
    purse.require(chain.manifest.stake_token, amount_units, "stake")
    return purse.pay(
        fresh_intent("stake"),
        chain.manifest.stake_token,
        chain.manifest.registry,
        amount_units,
        lambda permit: chain.registry.build_stake_with_permit(amount_units, permit),
        chain.registry.build_stake(amount_units),
    )


def register_unit(purse: Purse, worker: Address, devices: Devices, node: str) -> UnitId:
    """Registers the devices as one unit of this provider; its id."""
    unit = Unit(
        provider=purse.address,
        worker=worker,
        encryption_key=devices.encryption_key,
        node_id=keccak256(node.encode()),
        gpu_class=pack_name(devices.gpu_class),
        gpu_count=len(devices.gpu_ids),
        vram_mib=devices.vram_mib,
    )
    receipt = purse.send(
        fresh_intent("register unit"), purse.chain.registry.build_register_unit(unit, devices.gpu_ids)
    )
    return event_of(receipt, UnitRegistered, purse.chain.manifest).unit_id


def rotate_worker(
    purse: Purse, unit_id: UnitId, worker: Address | None, encryption_key: bytes | None
) -> Unit:
    """Another worker key, another encryption key, or both; what is None stays. The unit as it is then.

    Orders sealed to the key before are read with it: the worker keeps it.
    """
    registry = purse.chain.registry
    unit, _ = registry.unit_of(unit_id)
    if unit.provider != purse.address:
        raise BadInput(f"unit {to_hex(unit_id)}: expected one of {purse.address}, got {unit.provider}")
    if encryption_key is not None and any(encryption_key):
        check_reader(encryption_key)
    chosen = unit.encryption_key if encryption_key is None else encryption_key
    call = registry.build_rotate_worker(unit_id, unit.worker if worker is None else worker, chosen)
    event_of(purse.send(fresh_intent("rotate worker"), call), WorkerRotated, purse.chain.manifest)
    return registry.unit_of(unit_id)[0]


def list_offer(purse: Purse, draft: OfferDraft) -> OfferHash:
    """Lists an offer of one of this provider's units; its hash."""
    chain, offer = purse.chain, offer_of(purse, draft)
    receipt = purse.send(f"list {to_hex(hash_struct(offer))}", chain.market.build_list(offer))
    return event_of(receipt, OfferListed, chain.manifest).offer_hash


def sign_offer(purse: Purse, draft: OfferDraft) -> SignedOffer:
    """An offer of one of this provider's units that is sent nowhere: the signature is what a lease takes."""
    offer = offer_of(purse, draft)
    return SignedOffer(offer, sign(purse.chain.domain, offer, purse.account))


def cancel_salt(purse: Purse, salt: int) -> Receipt:
    """Voids what this provider signed with this salt, and no listed offer."""
    return purse.send(f"cancel salt {salt}", purse.chain.market.build_cancel_salt(salt))


def raise_epoch(purse: Purse) -> int:
    """Voids every offer of this provider, listed or signed; the epoch from now on. Leases go on."""
    receipt = purse.send(fresh_intent("raise epoch"), purse.chain.registry.build_raise_epoch())
    return event_of(receipt, EpochRaised, purse.chain.manifest).epoch


def offer_of(purse: Purse, draft: OfferDraft) -> Offer:
    """The draft as an offer of this provider's, in its epoch of today."""
    chain = purse.chain
    unit, _ = chain.registry.unit_of(draft.unit_id)
    if unit.provider != purse.address:
        raise BadInput(f"unit {to_hex(draft.unit_id)}: expected one of {purse.address}, got {unit.provider}")
    if not chain.market.token_terms(draft.token).allowed:
        raise BadInput(f"token: expected one that leases can be paid in, got {draft.token}")
    if not 0 < max(draft.min_seconds, 1) <= draft.max_seconds <= chain.market.horizon_seconds():
        raise BadInput(
            f"durations: expected 0 <= shortest <= longest <= {chain.market.horizon_seconds()} s, "
            f"got {draft.min_seconds} and {draft.max_seconds}"
        )
    epoch = chain.registry.stake_of(purse.address).epoch
    return Offer(
        provider=purse.address,
        unit_id=draft.unit_id,
        gpu_class=unit.gpu_class,
        gpu_count=unit.gpu_count,
        token=draft.token,
        price_per_hour=draft.price_per_hour,
        kind=OfferKind.RESERVED,
        weekly_hours=draft.weekly_hours,
        min_seconds=draft.min_seconds,
        max_seconds=draft.max_seconds,
        notice_seconds=draft.notice_seconds,
        bond=draft.bond,
        valid_until=chain.head().timestamp + draft.valid_seconds,
        salt=epoch << EPOCH_SHIFT | secrets.randbits(SALT_BITS),
    )


def event_of(receipt: Receipt, kind: type[Any], manifest: DeploymentManifest) -> Any:
    """The one event of this kind that a transaction made. BadInput where there is none."""
    ours = emitters(manifest)
    for log in receipt.logs:
        if log.address in ours:
            event = decode(log, ours)
            if isinstance(event, kind):
                return event
    name = to_hex(receipt.transaction_hash)
    raise BadInput(f"transaction {name}: expected the event {kind.__name__}, found none")
