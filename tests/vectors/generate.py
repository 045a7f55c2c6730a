"""Writes the golden vectors: `python -m tests.vectors.generate`. Frozen: another text is another protocol.

Typed data are hashed by eth_account, accrual is counted by the calendar, trees are built by recursion:
nothing is computed by the code under test. Solidity reads the same files.
"""

import hashlib
import hmac
import json
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from Crypto.Cipher import AES
from Crypto.Protocol.DH import key_agreement
from Crypto.PublicKey import ECC
from eth_abi.abi import encode as abi_encode
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak

from protocol.abi import Field, canonical_type, struct_fields
from protocol.codec import integer_range
from protocol.structs import ENUMS

FOLDER = Path(__file__).parent
SEED = 20_260_105
STRUCTS = (
    "Offer",
    "Terms",
    "ArtifactRef",
    "JobSpec",
    "JobLimits",
    "JobOrder",
    "JobReceipt",
    "Heartbeat",
    "CompletionProof",
    "FailoverPolicy",
    "SignedRequest",
    "Acceptance",
    "OrderAcknowledgement",
    "Yield",
    "Outage",
    "LeaseTransfer",
    "RelayedCall",
    "GpuAttestation",
)
EACH = 6
CHAIN_ID = 31_337
MARKET = "0x1111111111111111111111111111111111111111"
ALWAYS = 2**168 - 1
HOUR = 3600
CHUNK = 4 << 20
PATTERN = 251


def main() -> None:
    for name, make in VECTORS.items():
        source = random.Random(f"{SEED}/{name}")  # the same file on every machine
        (FOLDER / f"{name}.json").write_text(json.dumps(make(source), indent=1) + "\n")


def typed_data(source: random.Random) -> dict[str, Any]:
    """For each struct some values: their ABI encoding, their hashStruct and their digest in the domain."""
    found: dict[str, Any] = {"chainId": CHAIN_ID, "market": MARKET, "structs": list(STRUCTS)}
    for name in STRUCTS:
        component = {"type": "tuple", "components": [field.component for field in struct_fields(name)]}
        encoded, hashes, digests = [], [], []
        for _ in range(EACH):
            members = random_struct(source, name)
            signable = encode_typed_data(
                domain_data={
                    "name": "GPGPU",
                    "version": "1",
                    "chainId": CHAIN_ID,
                    "verifyingContract": MARKET,
                },
                message_types=type_members(name, {}),
                message_data=named(name, members),
            )
            encoded.append(hexed(abi_encode([canonical_type(component)], [members])))
            hashes.append(hexed(signable.body))
            digests.append(hexed(keccak(b"\x19\x01" + signable.header + signable.body)))
        found[name] = {"encoded": encoded, "hashes": hashes, "digests": digests}
    return found


def merkle(source: random.Random) -> dict[str, Any]:
    """Trees of many sizes; the roots by a recursion that shares nothing with the code under test."""
    trees = []
    for count in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 31, 33):
        leaves = [keccak(b"\x00" + source.randbytes(8)) for _ in range(count)]
        index = source.randrange(count) if count else 0
        trees.append(
            {
                "branch": [hexed(node) for node in sibling_path(leaves, index)],
                "index": index,
                "leaves": [hexed(leaf) for leaf in leaves],
                "root": hexed(tree_root(leaves)),
            }
        )
    return {"count": len(trees), "trees": trees}


def accrual(source: random.Random) -> dict[str, Any]:
    """Masks and intervals, and how many seconds are scheduled, counted by the calendar."""
    masks = [0, 1, 1 << 167, ALWAYS, (1 << 120) - 1, *(source.getrandbits(168) for _ in range(27))]
    starts = [source.randrange(1_700_000_000, 1_900_000_000) for _ in masks]
    ends = [start + source.choice((0, 1, 59, HOUR, 86_400, source.randrange(4_000_000))) for start in starts]
    seconds = [counted(*item) for item in zip(masks, starts, ends, strict=True)]
    return {"ends": ends, "masks": [str(mask) for mask in masks], "seconds": seconds, "starts": starts}


def digests(source: random.Random) -> dict[str, Any]:
    """Chunk roots of a repeated pattern of many sizes; tensors, and the state that they make."""
    sizes = (0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5)
    chunk_roots = [{"bytes": size, "root": hexed(chunked(patterned(size)))} for size in sizes]
    tensors = []
    for name, dtype, shape, item_bytes in (
        ("model.weight", "float32", (3, 5), 4),
        ("model.bias", "bfloat16", (7,), 2),
        ("optimizer.step", "int64", (), 8),
        ("rng.cpu", "uint8", (5056,), 1),
        ("mask", "bool", (0, 3), 1),
        ("ключ", "float64", (2, 1, 2), 8),
    ):
        data = source.randbytes(math.prod(shape) * item_bytes)
        words = [len(shape), *shape]
        header = counted_text(dtype) + b"".join(word.to_bytes(8) for word in words) + counted_text(name)
        tensors.append(
            {
                "data": data.hex(),
                "digest": hexed(keccak(header + chunked(data))),
                "dtype": dtype,
                "name": name,
                "shape": list(shape),
            }
        )
    ordered = sorted(tensors, key=lambda tensor: tensor["name"].encode())
    leaves = [
        keccak(b"\x00" + counted_text(tensor["name"]) + bytes.fromhex(tensor["digest"][2:]))
        for tensor in ordered
    ]
    state = hexed(tree_root(leaves))
    return {"chunk_roots": chunk_roots, "pattern_bytes": PATTERN, "state_root": state, "tensors": tensors}


def trace(source: random.Random) -> dict[str, Any]:
    """One chain of leaves, their hashes and the root over them."""
    spec, previous = source.randbytes(32), bytes(32)
    leaves, hashes = [], []
    for index in range(7):
        state, batch, metrics = (source.randbytes(32) for _ in range(3))
        numbers = index.to_bytes(8) + (index * 50).to_bytes(8)
        leaf = keccak(b"\x00" + spec + numbers + state + batch + metrics + previous)
        leaves.append(
            {
                "batch_root": hexed(batch),
                "index": index,
                "job_spec_digest": hexed(spec),
                "metrics_digest": hexed(metrics),
                "previous": hexed(previous),
                "state_root": hexed(state),
                "step": index * 50,
            }
        )
        hashes.append(leaf)
        previous = leaf
    return {
        "count": len(leaves),
        "hashes": [hexed(leaf) for leaf in hashes],
        "leaves": leaves,
        "root": hexed(tree_root(hashes)),
    }


def patterned(size: int) -> bytes:
    return (bytes(range(PATTERN)) * (size // PATTERN + 1))[:size]


def chunked(data: bytes) -> bytes:
    starts = range(0, len(data), CHUNK)
    return tree_root(
        [keccak(b"\x00" + hashlib.sha256(data[start : start + CHUNK]).digest()) for start in starts]
    )


def counted_text(text: str) -> bytes:
    return len(text.encode()).to_bytes(8) + text.encode()


def sealing(source: random.Random) -> dict[str, Any]:
    """Sealed files, a wrapped key and a log by RFC 5869, RFC 9180 and AES of pycryptodome."""
    files = []
    for size, context in ((0, b"bundle"), (1, b"data"), (300, b"result" + source.randbytes(40) + b"output")):
        key, salt, plaintext = source.randbytes(32), source.randbytes(32), source.randbytes(size)
        file_key = expanded(extracted(salt, key), b"gpgpu sealed file 1\0" + context, 32)
        nonce = bytes(7) + bytes(4) + b"\1"
        body, tag = AES.new(file_key, AES.MODE_GCM, nonce=nonce).encrypt_and_digest(plaintext)
        data = b"GPGPUs\0\1" + salt + body + tag
        files.append(
            {"context": context.hex(), "key": key.hex(), "plaintext": plaintext.hex(), "sealed": data.hex()}
        )
    private, ephemeral, key, binding = (source.randbytes(32) for _ in range(4))
    wrapped = wrapped_key(private, ephemeral, key, b"gpgpu wrapped key 1\0" + binding)
    salt, job, text = source.randbytes(32), source.randbytes(32), "step 1\nstep 2\nstep 3, which is longer\n"
    log_key = expanded(extracted(salt, key), b"gpgpu sealed log 1\0" + job + (3).to_bytes(8), 32)
    cipher = AES.new(log_key, AES.MODE_CTR, nonce=b"", initial_value=bytes(16))
    log = {"attempt": 3, "ciphertext": cipher.encrypt(text.encode()).hex(), "job_id": job.hex()}
    return {
        "files": files,
        "log": {**log, "key": key.hex(), "plaintext": text, "salt": salt.hex()},
        "wrapped": {
            "binding": binding.hex(),
            "key": key.hex(),
            "private_key": private.hex(),
            "wrapped": wrapped.hex(),
        },
    }


def wrapped_key(private: bytes, ephemeral: bytes, key: bytes, info: bytes) -> bytes:
    """RFC 9180, base mode, KEM 0x0020, KDF 0x0001, AEAD 0x0002, first message without associated data."""
    reader, sender = (ECC.construct(curve="Curve25519", seed=seed) for seed in (private, ephemeral))
    public, enc = (item.public_key().export_key(format="raw") for item in (reader, sender))
    shared = key_agreement(static_priv=sender, static_pub=reader.public_key(), kdf=bytes)
    kem, suite = b"KEM\0\x20", b"HPKE\0\x20\0\1\0\2"

    def extract(suite_id: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
        return extracted(salt, b"HPKE-v1" + suite_id + label + material)

    def expand(suite_id: bytes, secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
        return expanded(secret, size.to_bytes(2) + b"HPKE-v1" + suite_id + label + context, size)

    secret = expand(kem, extract(kem, b"", b"eae_prk", shared), b"shared_secret", enc + public, 32)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, secret, b"secret", b"")
    aead_key, nonce = (
        expand(suite, secret, b"key", context, 32),
        expand(suite, secret, b"base_nonce", context, 12),
    )
    body, tag = AES.new(aead_key, AES.MODE_GCM, nonce=nonce).encrypt_and_digest(key)
    return public + enc + body + tag


def extracted(salt: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), material, "sha256")


def expanded(secret: bytes, info: bytes, size: int) -> bytes:
    """One or two blocks of RFC 5869."""
    first = hmac.digest(secret, info + b"\1", "sha256")
    return (first + hmac.digest(secret, first + info + b"\2", "sha256"))[:size]


def random_struct(source: random.Random, name: str) -> tuple[Any, ...]:
    return tuple(random_value(source, field, field.abi_type) for field in struct_fields(name))


def random_value(source: random.Random, field: Field, abi_type: str) -> Any:
    if abi_type.endswith("]"):
        inner = abi_type[: abi_type.rindex("[")]
        return [random_value(source, field, inner) for _ in range(source.randrange(4))]
    if field.struct is not None:
        return random_struct(source, field.struct)
    if field.enum is not None:
        return source.randrange(len(ENUMS[field.enum]))
    if abi_type == "bool":
        return source.random() < 0.5
    if abi_type == "string":
        return "".join(source.choice('aZ09 ./-_:=é猫\n"') for _ in range(source.randrange(40)))
    if abi_type == "address":
        return hexed(source.randbytes(20))
    if abi_type.startswith("bytes"):
        return source.randbytes(int(abi_type.removeprefix("bytes") or source.randrange(70)))
    allowed = integer_range(abi_type)
    edges = (allowed[0], allowed[-1], source.randint(allowed[0], allowed[-1]))
    return source.choice(edges)


def type_members(name: str, found: dict[str, list[dict[str, str]]]) -> dict[str, list[dict[str, str]]]:
    found[name] = []
    for field in struct_fields(name):
        kind = field.abi_type if field.struct is None else field.abi_type.replace("tuple", field.struct)
        found[name].append({"name": field.abi_name, "type": kind})
        if field.struct is not None:
            type_members(field.struct, found)
    return found


def named(name: str, members: tuple[Any, ...]) -> dict[str, Any]:
    pairs = zip(struct_fields(name), members, strict=True)
    return {field.abi_name: named(field.struct, item) if field.struct else item for field, item in pairs}


def tree_root(leaves: list[bytes]) -> bytes:
    """The left subtree takes the largest power of two that leaves something for the right one."""
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return keccak(b"\x01" + tree_root(leaves[:split]) + tree_root(leaves[split:]))


def sibling_path(leaves: list[bytes], index: int) -> list[bytes]:
    if len(leaves) < 2:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return [*sibling_path(left, index), tree_root(right)]
    return [*sibling_path(right, index - split), tree_root(left)]


def counted(mask: int, start: int, end: int) -> int:
    total, second = 0, start
    while second < end:
        following = min(end, (second // HOUR + 1) * HOUR)
        moment = datetime.fromtimestamp(second, UTC)
        if mask >> (moment.weekday() * 24 + moment.hour) & 1:
            total += following - second
        second = following
    return total


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


VECTORS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "typed_data": typed_data,
    "merkle": merkle,
    "accrual": accrual,
    "digests": digests,
    "trace": trace,
    "sealing": sealing,
}

if __name__ == "__main__":
    main()
