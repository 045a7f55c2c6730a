"""A local chain for tests: anvil as a process that does not outlive them, with our contracts on it."""

import ctypes
import functools
import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

from protocol.abi import canonical_type
from protocol.calls import Call
from protocol.chain import connect, disconnect, read_block, rpc
from protocol.contracts import Market, Quorum, Registry, Token
from protocol.errors import ChainUnavailable, RpcError
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest, DeploymentParameters, TokenInfo
from protocol.outbox import Receipt
from protocol.units import ZERO_ADDRESS, Address, Digest, Seconds, Units, address_bytes, address_of, to_hex

ROOT = Path(__file__).resolve().parent.parent
ANVIL = ROOT / "node_modules" / ".bin" / "anvil"
ARTIFACTS = ROOT / "build" / "forge"
CHAIN_ID = 31_337
START_SECONDS = 30
MEMORY_BYTES = 16 << 30
ACCOUNTS = 10
BALANCE_WEI = 10**24
FEE_WEI = 10**11
BLOCK_GAS = 200_000_000


@functools.cache
def account(index: int) -> LocalAccount:
    """The same key for the same index, known to everybody: for tests only."""
    return Account.from_key(keccak256(b"test account %d" % index))


@dataclass(slots=True)
class Anvil:
    """A running chain. `accounts` are funded; with no block time, blocks come from `mine` alone."""

    rpc_url: str
    web3: Web3
    process: "subprocess.Popen[bytes]"
    block_time_seconds: int | None
    chain_id: int = CHAIN_ID

    @property
    def accounts(self) -> list[LocalAccount]:
        return [account(index) for index in range(ACCOUNTS)]

    def call(self, method: str, *params: Any) -> Any:
        return rpc(self.web3, method, params)

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def now(self) -> int:
        """The latest block's time."""
        return read_block(self.web3, "latest").timestamp

    def advance(self, seconds: int) -> None:
        """Afterwards the latest block is later by at least so many seconds."""
        self.call("evm_increaseTime", hex(seconds))
        self.mine()

    def send(self, sender: LocalAccount, call: Call | None, data: bytes = b"") -> Receipt:
        """Sends one transaction, which creates a contract without a `call`, and waits until it is mined."""
        return self.send_all(sender, [(call, data)])[0]

    def send_all(self, sender: LocalAccount, calls: list[tuple[Call | None, bytes]]) -> list[Receipt]:
        """Sends transactions in a row and waits until all are mined; fails where one reverted."""
        nonce = int(self.call("eth_getTransactionCount", sender.address, "pending"), 16)
        hashes: list[str] = []
        for offset, (call, data) in enumerate(calls):
            transaction = self._transaction(nonce + offset, call, data)
            raw = sender.sign_transaction(transaction).raw_transaction
            hashes.append(self.call("eth_sendRawTransaction", to_hex(bytes(raw))))
        if self.block_time_seconds is None:
            self.mine()
        receipts = [self.receipt(hash_) for hash_ in hashes]
        assert all(receipt.status == 1 for receipt in receipts), [receipt.raw for receipt in receipts]
        return receipts

    def receipt(self, transaction_hash: str) -> Receipt:
        """Waits for a transaction to be mined."""
        deadline = time.monotonic() + START_SECONDS
        while (raw := self.call("eth_getTransactionReceipt", transaction_hash)) is None:
            assert time.monotonic() < deadline, f"{transaction_hash} was not mined"
            time.sleep(0.02)
        return Receipt.of(raw)

    def _transaction(self, nonce: int, call: Call | None, data: bytes) -> dict[str, Any]:
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": nonce,
            "value": call.value if call else 0,
            "data": call.data if call else data,
            "gas": 12_000_000 if call is None else 1_000_000,
            "maxFeePerGas": FEE_WEI,
            "maxPriorityFeePerGas": 10**9,
        }
        return {**transaction, "to": call.to} if call else transaction


@dataclass(slots=True)
class Deployment:
    """Our contracts on a chain. `owner` deployed and owns them; anybody may mint the tokens."""

    anvil: Anvil
    manifest: DeploymentManifest
    owner: LocalAccount
    treasury: Address
    market: Market
    registry: Registry
    quorum: Quorum
    stake_token: Token
    payment_token: Token
    wrapped_native: Token


@contextmanager
def run_anvil(
    block_time_seconds: int | None = 1, port: int | None = None, arguments: tuple[str, ...] = ()
) -> Iterator[Anvil]:
    """A chain on a free port that ends with the block, and with this process if it is killed."""
    port = port or free_port()
    command = [str(ANVIL), "--port", str(port), "--chain-id", str(CHAIN_ID), "--accounts", "1", "--silent"]
    # A whole deployment in one block.
    command += ["--gas-limit", str(BLOCK_GAS)]
    mining = ["--no-mining"] if block_time_seconds is None else ["--block-time", str(block_time_seconds)]
    process = subprocess.Popen(
        [*command, *mining, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_confine,
    )
    web3: Web3 | None = None
    try:
        web3 = _connected(process, f"http://127.0.0.1:{port}")
        for index in range(ACCOUNTS):
            rpc(web3, "anvil_setBalance", [account(index).address, hex(BALANCE_WEI)])
        yield Anvil(f"http://127.0.0.1:{port}", web3, process, block_time_seconds)
    finally:
        if web3 is not None:
            disconnect(web3)
        process.kill()
        process.wait()


CREATED = (
    "stake token",
    "payment token",
    "DevWrappedNative",
    "OracleQuorum",
    "ProviderRegistry",
    "LeaseSuccession",
    "LeaseAmendments",
    "LeaseMarket",
    "ComputeCourt",
)


def deploy(
    anvil: Anvil,
    challenge_seconds: int = 3,
    proof_grace_seconds: int = 5,
    unbonding_seconds: int = 3,
    answer_seconds: int = 4,
    fee_bps: int = 100,
) -> Deployment:
    """Tokens and contracts; the owner is account 0, the treasury account 9; the quorum has no members yet."""
    parameters = DeploymentParameters(
        challenge_seconds=Seconds(challenge_seconds),
        proof_grace_seconds=Seconds(proof_grace_seconds),
        answer_seconds=Seconds(answer_seconds),
        unbonding_seconds=Seconds(unbonding_seconds),
        rotation_seconds=Seconds(1),
        exit_seconds=Seconds(60),
        fee_bps=fee_bps,
        threshold=2,
        committee_size=3,
        draw_delay_blocks=2,
        draw_seconds=Seconds(5),
        data_seconds=Seconds(3),
        commit_seconds=Seconds(3),
        reveal_seconds=Seconds(3),
        clock_seconds=Seconds(5),
        timelock_seconds=Seconds(0),
        member_bond=Units(100 * 10**18),
        challenge_bond=Units(10 * 10**18),
        absence_penalty=Units(10**18),
    )
    owner, treasury = account(0), address_of(address_bytes(account(9).address))
    own = address_of(address_bytes(owner.address))
    nonce = int(anvil.call("eth_getTransactionCount", own, "pending"), 16)
    at = {name: contract_address(own, nonce + offset) for offset, name in enumerate(CREATED)}
    market = Market(anvil.web3, at["LeaseMarket"])
    created = [(None, code) for code in _creation_codes(at, own, treasury, parameters)]
    allowed = [
        (market.build_set_token(at[token], True, fee_bps), b"")
        for token in ("payment token", "DevWrappedNative")
    ]
    receipts = anvil.send_all(owner, [*created, *allowed])
    return Deployment(
        anvil=anvil,
        manifest=_manifest(anvil, parameters, at, own, treasury, receipts),
        owner=owner,
        treasury=treasury,
        market=market,
        registry=Registry(anvil.web3, at["ProviderRegistry"]),
        quorum=Quorum(anvil.web3, at["OracleQuorum"]),
        stake_token=Token(anvil.web3, at["stake token"]),
        payment_token=Token(anvil.web3, at["payment token"]),
        wrapped_native=Token(anvil.web3, at["DevWrappedNative"]),
    )


def _creation_codes(
    at: dict[str, Address], owner: Address, treasury: Address, parameters: DeploymentParameters
) -> list[bytes]:
    """As `CREATED` has them."""
    stake = at["stake token"]
    market = (
        *(at["ProviderRegistry"], at["ComputeCourt"], at["OracleQuorum"], at["DevWrappedNative"]),
        *(owner, treasury),
        *(parameters.challenge_seconds, parameters.proof_grace_seconds, parameters.answer_seconds),
    )
    quorum = (
        *(parameters.member_bond, parameters.rotation_seconds),
        *(parameters.exit_seconds, parameters.threshold),
    )
    court = (
        *(parameters.challenge_bond, parameters.absence_penalty),
        *(parameters.committee_size, parameters.draw_delay_blocks, parameters.draw_seconds),
        *(parameters.data_seconds, parameters.commit_seconds, parameters.reveal_seconds),
        parameters.clock_seconds,
    )
    registry = (stake, at["LeaseMarket"], at["OracleQuorum"], parameters.unbonding_seconds)
    contracts = (at["LeaseMarket"], at["ProviderRegistry"], at["OracleQuorum"])
    return [
        creation_code("DevToken", "GPGPU stake", "GPU", 18),
        creation_code("DevToken", "Devnet USD", "dUSD", 6),
        creation_code("DevWrappedNative"),
        creation_code("OracleQuorum", stake, at["ComputeCourt"], owner, *quorum),
        creation_code("ProviderRegistry", *registry),
        creation_code("LeaseSuccession", market),
        creation_code("LeaseAmendments", market, at["LeaseSuccession"]),
        creation_code("LeaseMarket", market, at["LeaseAmendments"]),
        creation_code("ComputeCourt", *contracts, court),
    ]


def _manifest(
    anvil: Anvil,
    parameters: DeploymentParameters,
    at: dict[str, Address],
    owner: Address,
    treasury: Address,
    receipts: list[Receipt],
) -> DeploymentManifest:
    return DeploymentManifest(
        chain_id=anvil.chain_id,
        block_number=receipts[0].block_number,
        market=at["LeaseMarket"],
        amendments=at["LeaseAmendments"],
        succession=at["LeaseSuccession"],
        registry=at["ProviderRegistry"],
        quorum=at["OracleQuorum"],
        court=at["ComputeCourt"],
        proceedings=contract_address(at["ComputeCourt"], 1),
        timelock=ZERO_ADDRESS,
        owner=owner,
        treasury=treasury,
        stake_token=at["stake token"],
        wrapped_native=at["DevWrappedNative"],
        tokens={
            "GPU": TokenInfo(at["stake token"], 18),
            "dUSD": TokenInfo(at["payment token"], 6),
            "WNC": TokenInfo(at["DevWrappedNative"], 18),
        },
        code_hashes={
            address: _code_hash(anvil, address)
            for address in (*at.values(), contract_address(at["ComputeCourt"], 1))
        },
        transactions={
            name: receipt.transaction_hash for name, receipt in zip(CREATED, receipts, strict=False)
        },
        parameters=parameters,
    )


def creation_code(contract: str, *arguments: object) -> bytes:
    """What the creating transaction carries: the compiler's code and the constructor's arguments."""
    path = ARTIFACTS / f"{contract}.sol" / f"{contract}.json"
    assert path.is_file(), f"expected {path}; run: node_modules/.bin/forge build"
    artifact = json.loads(path.read_text())
    constructor = next((item for item in artifact["abi"] if item["type"] == "constructor"), {"inputs": []})
    types = [canonical_type(component) for component in constructor["inputs"]]
    code = bytes.fromhex(artifact["bytecode"]["object"].removeprefix("0x"))
    return code + abi_encode(types, arguments)


def contract_address(creator: Address, nonce: int) -> Address:
    """Of the contract that an account creates with this nonce."""
    return address_of(keccak256(rlp.encode([address_bytes(creator), nonce]))[12:])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _connected(process: "subprocess.Popen[bytes]", rpc_url: str) -> Web3:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"anvil ended with {process.returncode}"
        try:
            return connect(rpc_url, CHAIN_ID)
        except (ChainUnavailable, RpcError):
            assert time.monotonic() < deadline, "anvil did not start"
            time.sleep(0.02)


def _confine() -> None:
    """In the child: it dies with its parent, and cannot take all memory."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.setsid()


def _code_hash(anvil: Anvil, address: Address) -> Digest:
    return Digest(keccak256(bytes.fromhex(anvil.call("eth_getCode", address, "latest")[2:])))


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """A chain with a block each second."""
    with run_anvil() as chain:
        yield chain


@pytest.fixture
def still_anvil() -> Iterator[Anvil]:
    """A chain that mines only when it is told to."""
    with run_anvil(block_time_seconds=None) as chain:
        yield chain


@pytest.fixture
def deployment(anvil: Anvil) -> Deployment:
    """Our contracts on a chain with a block each second."""
    return deploy(anvil)


@pytest.fixture
def still_deployment(still_anvil: Anvil) -> Deployment:
    """Our contracts on a chain that mines only when it is told to."""
    return deploy(still_anvil)
