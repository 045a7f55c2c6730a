"""The connection: wrong chain, dead node, wrong or changed code, each its own error."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from protocol.chain import check_deployment, connect, disconnect, read_block, rpc
from protocol.contracts import Court, Market, Quorum, Registry, Token
from protocol.errors import (
    BadInput,
    ChainUnavailable,
    DigestMismatch,
    NoCode,
    RpcError,
    TransactionReverted,
    WrongChain,
)
from protocol.units import ZERO_ADDRESS, Digest, address_of
from tests.anvil import CHAIN_ID, Anvil, Deployment, free_port


def test_connect__other_chain__is_refused(still_anvil: Anvil) -> None:
    with pytest.raises(WrongChain, match="expected chain 1, got 31337"):
        connect(still_anvil.rpc_url, 1)


def test_connect__nobody_there__is_unavailable() -> None:
    with pytest.raises(ChainUnavailable):
        connect(f"http://127.0.0.1:{free_port()}", CHAIN_ID)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives each connection the same bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(65_536)
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        http("500 Internal Server Error", b"oops"),
        http("429 Too Many Requests", b""),
        http("200 OK", b""),
        http("200 OK", b"<html>"),
        http("200 OK", b"[]"),
        http("200 OK", b"5"),
        http("200 OK", b'{"jsonrpc":"2.0","id":0}'),
        http("200 OK", b'{"jsonrpc":"2.0","id":0,"result":"0x'),
        http("200 OK", b'{"jsonrpc":"2.0","id":0,"result":null}'),
        http("200 OK", b'{"jsonrpc":"2.0","id":0,"result":"zz"}'),
    ],
)
def test_connect__server_that_is_no_node__is_unavailable(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(ChainUnavailable):
        connect(url, CHAIN_ID, timeout_seconds=5)


def test_connect__node_that_never_answers__is_unavailable_after_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ChainUnavailable):
        connect(f"http://127.0.0.1:{listener.getsockname()[1]}", CHAIN_ID, timeout_seconds=0.3)


def test_rpc__error_of_the_node__carries_code_and_message(still_anvil: Anvil) -> None:
    with pytest.raises(RpcError) as caught:
        rpc(still_anvil.web3, "no_such_method", [])
    assert caught.value.rpc_code == -32601
    assert "no_such_method" in str(caught.value)


def test_read_block__number_tag_and_absent__are_told_apart(still_anvil: Anvil) -> None:
    still_anvil.mine(3)
    latest = read_block(still_anvil.web3, "latest")
    assert latest.number == 3
    assert read_block(still_anvil.web3, 3) == latest
    with pytest.raises(ChainUnavailable, match="block 4: expected a block"):
        read_block(still_anvil.web3, 4)


def test_check_deployment__as_deployed__holds(still_deployment: Deployment) -> None:
    web3 = connect(still_deployment.anvil.rpc_url, CHAIN_ID)
    check_deployment(web3, still_deployment.manifest)
    disconnect(web3)


def test_check_deployment__no_code_or_other_code__is_refused(still_deployment: Deployment) -> None:
    manifest, web3 = still_deployment.manifest, still_deployment.anvil.web3
    with pytest.raises(NoCode, match="0x9999"):
        check_deployment(web3, replace(manifest, registry=address_of(b"\x99" * 20)))
    wrong = {**manifest.code_hashes, manifest.market: Digest(bytes(32))}
    with pytest.raises(DigestMismatch, match=manifest.market):
        check_deployment(web3, replace(manifest, code_hashes=wrong))


def test_contracts__wrong_address__is_said_and_not_read_as_zero(still_deployment: Deployment) -> None:
    web3, manifest = still_deployment.anvil.web3, still_deployment.manifest
    with pytest.raises(BadInput, match="got 0 bytes"):
        Market(web3, ZERO_ADDRESS).treasury()
    with pytest.raises(TransactionReverted):
        Registry(web3, manifest.market).stake_of(ZERO_ADDRESS)


def test_contracts__block_argument__reads_the_state_of_then(still_deployment: Deployment) -> None:
    anvil, token = still_deployment.anvil, still_deployment.payment_token
    holder = address_of(b"\x99" * 20)
    before = read_block(anvil.web3, "latest").number
    anvil.send(anvil.accounts[4], token.build_mint(holder, 5))
    assert (token.balance_of(holder), token.balance_of(holder, before)) == (5, 0)


def test_contracts__constants__are_those_of_the_manifest(still_deployment: Deployment) -> None:
    market, registry, manifest = still_deployment.market, still_deployment.registry, still_deployment.manifest
    parameters = manifest.parameters
    assert market.challenge_seconds() == parameters.challenge_seconds
    assert market.proof_grace_seconds() == parameters.proof_grace_seconds
    assert market.answer_seconds() == parameters.answer_seconds
    assert (market.quorum(), market.court()) == (manifest.quorum, manifest.court)
    assert market.wrapped_native() == manifest.wrapped_native
    assert market.fee_bps(manifest.tokens["dUSD"].address) == parameters.fee_bps
    quorum = Quorum(still_deployment.anvil.web3, manifest.quorum)
    assert (quorum.threshold(), quorum.member_bond()) == (parameters.threshold, parameters.member_bond)
    assert (quorum.rotation_seconds(), quorum.exit_seconds()) == (
        parameters.rotation_seconds,
        parameters.exit_seconds,
    )
    assert (quorum.court(), quorum.active_members()) == (manifest.court, 0)
    court = Court(still_deployment.anvil.web3, manifest.court)
    assert (court.market(), court.challenge_bond()) == (manifest.market, parameters.challenge_bond)
    assert registry.unbonding_seconds() == parameters.unbonding_seconds
    assert (market.registry(), registry.market()) == (manifest.registry, manifest.market)
    assert registry.stake_token() == manifest.stake_token
    assert market.owner() == still_deployment.owner.address
    assert market.token_allowed(manifest.tokens["dUSD"].address)
    assert market.listed_by(bytes(32)) == ZERO_ADDRESS
    token = Token(still_deployment.anvil.web3, manifest.tokens["dUSD"].address)
    assert (token.name(), token.symbol(), token.decimals()) == ("Devnet USD", "dUSD", 6)
    assert token.allowance(ZERO_ADDRESS, ZERO_ADDRESS) == 0
