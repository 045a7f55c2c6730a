"""The sender on a real chain: each intent is carried out once, whatever dies, sticks or is taken away."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.calls import Call
from protocol.chain import connect, disconnect
from protocol.contracts import Registry
from protocol.errors import (
    BadInput,
    ChainUnavailable,
    InsufficientFunds,
    TransactionPending,
    TransactionReverted,
    WrongChain,
)
from protocol.keccak import keccak256
from protocol.outbox import IntentState, SqliteOutbox
from protocol.sender import Sender, SenderSettings
from protocol.structs import Unit
from protocol.units import Address, address_bytes, address_of, pack_name
from tests.anvil import CHAIN_ID, ROOT, Anvil, Deployment, account, run_anvil
from tests.integration import killed_sender
from tests.integration.sender_bench import TARGET, Bench, pay, raise_base_fee, row_of, states, transaction_of


def test_submit__then_a_block__is_mined_once(bench: Bench) -> None:
    sender = bench.sender()
    assert sender.submit("pay", pay(5)) is IntentState.SIGNED
    assert sender.submit("pay", pay(5)) is IntentState.SIGNED
    assert sender.turn() == []
    bench.anvil.mine()
    assert states(sender) == {"pay": IntentState.MINED}
    assert sender.submit("pay", pay(5)) is IntentState.MINED
    receipt = sender.wait("pay", 0)
    assert (receipt.status, receipt.gas_used) == (1, 21_000)
    assert (bench.balance(), bench.transaction_count()) == (5, 1)


def test_submit__intent_of_another_call__is_refused(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay(5))
    with pytest.raises(BadInput, match="expected the call it was first used for"):
        sender.submit("pay", pay(6))


def test_submit__many_before_a_block__are_mined_in_their_order(bench: Bench) -> None:
    sender = bench.sender()
    for index in range(5):
        sender.submit(f"pay {index}", pay(10**index))
    bench.anvil.mine()
    assert states(sender) == {f"pay {index}": IntentState.MINED for index in range(5)}
    rows = [sender.row(f"pay {index}") for index in range(5)]
    assert [row.nonce for row in rows if row] == [0, 1, 2, 3, 4]
    assert bench.balance() == 11_111


def test_submit__call_that_would_revert__says_why_and_leaves_no_row(
    still_deployment: Deployment, tmp_path: Path
) -> None:
    sender = Bench(still_deployment.anvil, tmp_path).sender()
    token, market = still_deployment.payment_token.address, still_deployment.market
    with pytest.raises(TransactionReverted) as caught:
        sender.submit("withdraw", market.build_withdraw(token, TARGET))
    assert caught.value.name == "NothingToWithdraw"
    assert caught.value.arguments == {"token": token, "account": sender.address}
    assert sender.row("withdraw") is None
    assert sender.turn() == []


def unit_of(provider: str, registry: Registry) -> Call:
    own = address_of(address_bytes(provider))
    gpu_class = pack_name("CPU")
    unit = Unit(own, own, bytes(32), bytes(32), gpu_class, 1, 0)
    return registry.build_register_unit(unit, [keccak256(b"the same GPU")])


def test_turn__reverted_when_mined__says_why(still_deployment: Deployment, tmp_path: Path) -> None:
    bench = Bench(still_deployment.anvil, tmp_path)
    slow = bench.sender(3)
    fast = bench.sender(4, "fast.sqlite", SenderSettings(min_priority_fee_wei=10**11))
    fast.submit("register", unit_of(fast.address, still_deployment.registry))
    bench.anvil.call("anvil_dropAllTransactions")
    slow.submit("register", unit_of(slow.address, still_deployment.registry))
    bench.pass_time(6)
    fast.turn()
    bench.anvil.mine()
    (mined,), (failed,) = fast.turn(), slow.turn()
    assert mined.state is IntentState.MINED
    assert failed.state is IntentState.FAILED
    assert failed.receipt is not None and failed.receipt.status == 0
    with pytest.raises(TransactionReverted) as caught:
        slow.wait("register", 0)
    assert caught.value.name == "GpuTaken"
    assert caught.value.transaction_hash == failed.receipt.transaction_hash
    slow.submit("pay", pay())
    bench.anvil.mine()
    assert states(slow) == {"pay": IntentState.MINED}


def run_and_die(bench: Bench, point: str) -> None:
    arguments = (bench.anvil.rpc_url, str(bench.folder / "outbox.sqlite"), TARGET, point)
    command = [sys.executable, "-m", killed_sender.__name__, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("point", "states_on_disk", "attempts", "pending"),
    [
        ("before_signing", IntentState.RESERVED, 0, 0),
        ("before_broadcast", IntentState.SIGNED, 1, 0),
        ("after_broadcast", IntentState.SIGNED, 1, 3),
        ("before_replacing", IntentState.SIGNED, 1, 0),
        ("before_rebroadcast", IntentState.SIGNED, 2, 0),
        ("after_rebroadcast", IntentState.SIGNED, 2, 3),
        ("after_receipts", IntentState.SIGNED, 1, 3),
    ],
)
def test_sender__killed__carries_each_intent_out_once_and_in_order_after_restart(
    bench: Bench, point: str, states_on_disk: IntentState, attempts: int, pending: int
) -> None:
    run_and_die(bench, point)
    counted = bench.anvil.call("eth_getTransactionCount", account(3).address, "pending")
    assert int(counted, 16) == pending
    sender = bench.sender()
    rows = [row_of(sender, intent) for intent in killed_sender.INTENTS]
    assert [(row.state, len(row.attempts)) for row in rows] == [(states_on_disk, attempts)] * 3
    found: dict[str, IntentState] = {}
    for _ in range(3):
        bench.pass_time(31)
        found |= states(sender)
        bench.anvil.mine()
    assert found | states(sender) == dict.fromkeys(killed_sender.INTENTS, IntentState.MINED)
    assert [row_of(sender, intent).nonce for intent in killed_sender.INTENTS] == [0, 1, 2]
    assert (bench.balance(), bench.transaction_count()) == (sum(killed_sender.VALUES_WEI), 3)
    assert sender.turn() == []


def test_points__all_of_them__are_killed_at() -> None:
    (marks,) = test_sender__killed__carries_each_intent_out_once_and_in_order_after_restart.pytestmark
    assert [case[0] for case in marks.args[1]] == list(killed_sender.POINTS)


def test_submit__again_after_a_crash_and_a_block__reads_nonce_too_low_as_sent(bench: Bench) -> None:
    run_and_die(bench, "after_broadcast")
    bench.anvil.mine()
    sender = bench.sender()
    intent, value = killed_sender.INTENTS[0], killed_sender.VALUES_WEI[0]
    assert sender.submit(intent, pay(value)) is IntentState.SIGNED
    assert states(sender) == dict.fromkeys(killed_sender.INTENTS, IntentState.MINED)
    assert (bench.balance(), bench.transaction_count()) == (sum(killed_sender.VALUES_WEI), 3)


def test_turn__broadcast_again__reads_already_known_as_sent(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay())
    bench.pass_time(6)
    assert sender.turn() == []
    row = sender.row("pay")
    assert row is not None and len(row.attempts) == 1


def test_turn__base_fee_above_the_offer__is_replaced_by_a_better_paid_twin(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay(7))
    raise_base_fee(bench.anvil, 100 * 10**9)
    assert bench.balance() == 0
    assert sender.turn() == []
    bench.pass_time(31)
    assert sender.turn() == []
    bench.anvil.mine()
    assert states(sender) == {"pay": IntentState.MINED}
    row = sender.row("pay")
    assert row is not None and row.receipt is not None
    first, second = row.attempts
    assert second.max_fee_wei > 100 * 10**9 > first.max_fee_wei
    assert first.nonce == second.nonce == 0
    assert row.receipt.transaction_hash == second.transaction_hash
    assert (bench.balance(), bench.transaction_count()) == (7, 1)


def test_turn__old_twin_is_mined_after_the_bump__counts_as_the_intent(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay(7))
    row = row_of(sender, "pay")
    raise_base_fee(bench.anvil, 100 * 10**9)
    bench.pass_time(31)
    sender.turn()
    assert len(row_of(sender, "pay").attempts) == 2
    bench.anvil.call("anvil_dropAllTransactions")
    bench.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    bench.anvil.call("eth_sendRawTransaction", "0x" + row.attempts[0].raw.hex())
    bench.anvil.mine()
    assert states(sender) == {"pay": IntentState.MINED}
    assert bench.balance() == 7


def test_turn__bump_beyond_the_cap__is_reported_and_not_paid(bench: Bench) -> None:
    settings = SenderSettings(bump_after_seconds=30, max_fee_cap_wei=5 * 10**9)
    sender = bench.sender(settings=settings)
    sender.submit("pay", pay(7))
    raise_base_fee(bench.anvil, 100 * 10**9)
    for _ in range(8):
        bench.pass_time(31)
        outcomes = sender.turn()
    assert [outcome.state for outcome in outcomes] == [IntentState.SIGNED]
    assert outcomes[0].error is not None and "the cap of 5000000000 wei" in outcomes[0].error
    assert max(attempt.max_fee_wei for attempt in row_of(sender, "pay").attempts) <= 5 * 10**9
    raise_base_fee(bench.anvil, 10**9)
    bench.pass_time(6)
    sender.turn()
    bench.anvil.mine()
    assert states(sender) == {"pay": IntentState.MINED}


def test_turn__gap_below_our_nonces__is_filled(bench: Bench) -> None:
    stranger = bench.sender(outbox="stranger.sqlite")
    stranger.submit("theirs", pay(1000))
    sender = bench.sender()
    sender.submit("ours", pay(7))
    bench.anvil.call("anvil_dropTransaction", transaction_of(stranger, "theirs"))
    bench.anvil.mine()
    assert bench.balance() == 0
    bench.pass_time(6)
    sender.turn()
    bench.anvil.mine()
    assert states(sender) == {"gap:0": IntentState.MINED, "ours": IntentState.MINED}
    assert (bench.balance(), bench.transaction_count()) == (7, 2)


def test_turn__nonce_spent_by_another_user_of_a_shared_key__takes_a_new_one(bench: Bench) -> None:
    sender = bench.sender(settings=SenderSettings(shared_key=True))
    sender.submit("ours", pay(7))
    bench.anvil.call("anvil_dropAllTransactions")
    stranger = bench.sender(outbox="stranger.sqlite")
    stranger.submit("theirs", pay(1000))
    bench.anvil.mine()
    assert sender.turn() == []
    bench.pass_time(16)
    assert sender.turn() == []
    bench.anvil.mine()
    assert states(sender) == {"ours": IntentState.MINED}
    assert (bench.balance(), bench.transaction_count()) == (1007, 2)


def test_turn__reorganisation_before_enough_confirmations__sends_again(bench: Bench) -> None:
    sender = bench.sender(settings=SenderSettings(confirmations=3, rebroadcast_seconds=5))
    sender.submit("pay", pay(7))
    bench.anvil.mine()
    assert sender.turn() == []
    bench.anvil.call("anvil_reorg", 1, [])
    assert bench.balance() == 0
    bench.pass_time(6)
    assert sender.turn() == []
    bench.anvil.mine()
    assert sender.turn() == []
    bench.anvil.mine(2)
    assert states(sender) == {"pay": IntentState.MINED}
    assert (bench.balance(), bench.transaction_count()) == (7, 1)


def test_turn__mined_transaction_reorganised_away_below_ours__is_sent_again(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("first", pay(7))
    bench.anvil.mine()
    assert states(sender) == {"first": IntentState.MINED}
    bench.anvil.call("anvil_reorg", 1, [])
    bench.anvil.call("anvil_dropAllTransactions")
    sender.submit("second", pay(10))
    sender.turn()
    bench.anvil.mine()
    assert states(sender) == {"first": IntentState.MINED, "second": IntentState.MINED}
    assert (bench.balance(), bench.transaction_count()) == (17, 2)


def test_submit__account_without_gas_money__is_refused_until_it_has_some(bench: Bench) -> None:
    poor = account(77)
    sender = bench.sender_of(poor)
    with pytest.raises(InsufficientFunds):
        sender.submit("pay", pay())
    bench.anvil.call("anvil_setBalance", poor.address, hex(10**18))
    sender.turn()
    sender.submit("pay", pay())
    bench.anvil.mine()
    assert states(sender) == {"pay": IntentState.MINED}
    assert bench.balance() == 1


def test_sender__two_on_one_file_at_once__share_the_nonces(bench: Bench) -> None:
    senders = [bench.sender(), bench.sender()]
    in_threads([lambda s=s, n=n: submit_ten(s, n) for n, s in enumerate(senders)])
    for _ in range(3):
        bench.anvil.mine()
        senders[0].turn()
    assert senders[0].turn() == []
    assert (bench.balance(), bench.transaction_count()) == (15, 15)


def submit_ten(sender: Sender, number: int) -> None:
    """Ten intents, five of them those of the other sender too."""
    for index in range(10):
        sender.submit(f"pay {index + 5 * number}", pay())


def in_threads(tasks: list[Callable[[], None]]) -> None:
    errors: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_sender__outbox_of_another_chain_with_the_same_id__is_left_alone(tmp_path: Path) -> None:
    for index in range(2):
        with run_anvil(None, arguments=("--timestamp", str(1_800_000_000 + index))) as anvil:
            bench = Bench(anvil, tmp_path)
            sender = bench.sender()
            assert sender.row("pay") is None
            sender.submit("pay", pay(3))
            anvil.mine()
            assert states(sender) == {"pay": IntentState.MINED}
            assert (bench.balance(), bench.transaction_count()) == (3, 1)
            bench.open[0].close()


def test_sender__other_chain_id__is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(WrongChain, match="expected chain 1, got 31337"):
        Sender(bench.anvil.web3, account(3), SqliteOutbox(tmp_path / "x.sqlite"), 1)


def test_sender__node_gone__keeps_the_intent_and_says_so(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay())
    bench.anvil.process.kill()
    bench.anvil.process.wait()
    with pytest.raises(ChainUnavailable):
        sender.turn()
    with pytest.raises(ChainUnavailable):
        sender.wait("pay", 0.2)
    row = sender.row("pay")
    assert row is not None and row.state is IntentState.SIGNED


def test_wait__nothing_mined_in_time__is_pending(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay())
    with pytest.raises(TransactionPending):
        sender.wait("pay", 0.2)
    with pytest.raises(BadInput, match="expected one that was submitted"):
        sender.wait("other", 0.2)


def test_wait__chain_with_a_block_each_second__returns_the_receipt(anvil: Anvil, tmp_path: Path) -> None:
    web3 = connect(anvil.rpc_url, CHAIN_ID)
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    sender = Sender(web3, account(3), outbox, CHAIN_ID)
    sender.submit("pay", pay(9))
    assert sender.wait("pay", 30).status == 1
    outbox.close()
    disconnect(web3)
    assert isinstance(sender.address, str) and sender.address == Address(account(3).address)
