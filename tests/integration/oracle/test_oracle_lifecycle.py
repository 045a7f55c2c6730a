"""Starting, stopping, and proving who one is."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from protocol import link
from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.oracle_rental import order_job, until_indexed


@pytest.mark.parametrize("wrong", ["key", "nonce", "unit", "expired", "not hello", "not json", "bytes"])
def test_link__hello_that_proves_nothing__refused_and_closed(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller, wrong: str
) -> None:
    until_indexed(rental, renter)
    with link_rig.open_link(oracle) as socket:
        client = link_rig.WorkerClient(rental, socket)
        nonce = bytes.fromhex(client.expect(link.Challenge).nonce[2:])
        stranger = rig.replace(rental, worker=rental.renter)
        match wrong:
            case "key":
                client.send(link_rig.make_hello(stranger, nonce))
            case "nonce":
                client.send(link_rig.make_hello(rental, b"n" * 32))
            case "unit":
                client.send(link_rig.make_hello(rental, nonce, unit_id="0x" + "77" * 32))
            case "expired":
                client.send(link_rig.make_hello(rental, nonce, expires_at=int(time.time()) - 5))
            case "not hello":
                client.send(link.Status(job_id="0x" + "00" * 32, attempt=1, fencing_token=1, state="lost"))
            case "not json":
                socket.send("{")
            case _:
                socket.send(b"\x00\xff")
        refused = client.expect(link.Refused)
        assert refused.code in ("signature_invalid", "unknown_unit", "expired", "bad_input")
        with pytest.raises(ConnectionClosed):
            client.receive()


def test_oracle__sigterm_with_a_worker_and_a_reader_connected__stops_cleanly(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller
) -> None:
    order_job(rental, renter)
    with link_rig.connect_worker(oracle, rental) as worker:
        worker.expect(link.Desired)
        assert oracle.terminate() == 0
        with pytest.raises(ConnectionClosed):
            while True:
                worker.receive()
    assert oracle.lines("stopped")


def test_oracle__second_process_on_the_same_folder__refused(oracle: rig.OracleProcess) -> None:
    again = run_again(oracle)
    assert again.returncode == 2
    assert json.loads(again.stderr.splitlines()[-1])["reason"].startswith("data_dir")


def test_oracle__fork_deeper_than_retained__process_stops_loudly(
    rental: rig.Rental, tmp_path: Path, deployment: Deployment
) -> None:
    with rig.run_oracle(tmp_path / "oracle", deployment, retained_blocks=2) as oracle:
        rental.open(rental.terms())
        head = int(deployment.anvil.call("eth_blockNumber"), 16)
        health = rig.Caller(oracle, rental.domain, rental.renter)

        def indexed() -> bool:
            return health("GET", "/v1/health").json()["indexed_block"] > head + 6

        rig.until(indexed, "indexed beyond the retained blocks")
        deployment.anvil.call("anvil_reorg", 8, [])
        assert oracle.process is not None
        assert oracle.process.wait(20) == 70
        (halted,) = oracle.lines("halted")
        assert "deeper than retained" in halted["reason"]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"chain_id": 1}, "wrong_chain"), ({"rpc_url": "http://127.0.0.1:1"}, "chain_unavailable")],
)
def test_oracle__wrong_surroundings__says_so_and_does_not_start(
    oracle: rig.OracleProcess, change: dict[str, object], code: str
) -> None:
    oracle.kill()
    oracle.settings = {**oracle.settings, **change}
    (oracle.folder / "oracle.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in oracle.settings.items())
    )
    again = run_again(oracle)
    assert again.returncode == (3 if code == "chain_unavailable" else 2)
    assert json.loads(again.stderr.splitlines()[-1])["code"] == code


def run_again(oracle: rig.OracleProcess) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "oracle", "--settings", str(oracle.folder / "oracle.toml")],
        capture_output=True,
        timeout=30,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
