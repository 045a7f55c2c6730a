"""What goes wrong between us and the chain: fees, gaps, forks, outages, and a second sender on our key."""

import shutil
import signal
from contextlib import closing
from pathlib import Path

import pytest

from oracle.store.engine import open_store
from oracle.store.outbox import StoreOutbox
from protocol.calls import Call
from protocol.chain import connect, disconnect
from protocol.errors import ChainUnavailable, KeyContested, TransactionReverted
from protocol.outbox import IntentState, SqliteOutbox
from protocol.sender import Intent, Sender, SenderSettings
from tests.anvil import CHAIN_ID, Anvil, account
from tests.integration.sender_bench import (
    STUCK,
    Bench,
    pay,
    raise_base_fee,
    row_of,
    states,
    transaction_of,
)

MINED = IntentState.MINED
GWEI = 10**9
CODE_THAT_REVERTS = bytes.fromhex("60006000fd")


def queue(sender: Sender, count: int) -> list[str]:
    """So many intents of one wei more each, handed over together."""
    intents = [Intent(f"pay {index}", pay(index + 1)) for index in range(count)]
    assert sender.submit_many(intents) == [IntentState.SIGNED] * count
    return [intent.name for intent in intents]


def places(sender: Sender, names: list[str]) -> list[tuple[int, int]]:
    """Block and index in it of each mined intent."""
    found = []
    for name in names:
        receipt = row_of(sender, name).receipt
        assert receipt is not None and receipt.status == 1
        found.append((receipt.block_number, int(receipt.raw["transactionIndex"], 16)))
    return found


def test_turn__base_fee_rises_tenfold_over_200_queued__each_is_executed_once_and_in_order(
    bench: Bench,
) -> None:
    sender = bench.sender()
    names = queue(sender, 200)
    offered = row_of(sender, names[0]).attempts[0].max_fee_wei
    bench.anvil.call("evm_setBlockGasLimit", hex(60 * 21_000))
    raise_base_fee(bench.anvil, 10 * offered)
    assert bench.balance() == 0
    concluded: dict[str, IntentState] = {}
    for _ in range(12):
        bench.pass_time(31)
        concluded |= states(sender)
        bench.anvil.mine()
    assert concluded | states(sender) == dict.fromkeys(names, MINED)
    assert places(sender, names) == sorted(places(sender, names))
    assert bench.balance() == sum(range(1, 201)) and bench.transaction_count() == 200
    assert sender.turn() == []


def test_turn__no_blocks_for_five_minutes__offers_no_more_than_before(bench: Bench) -> None:
    sender = bench.sender()
    names = queue(sender, 5)
    for _ in range(10):
        bench.pass_time(31)
        assert sender.turn() == []
    assert [len(row_of(sender, name).attempts) for name in names] == [1] * 5
    bench.anvil.mine()
    assert states(sender) == dict.fromkeys(names, MINED)
    assert (bench.balance(), bench.transaction_count()) == (15, 5)


def test_turn__next_in_line_is_passed_over_by_blocks__offers_a_higher_tip(bench: Bench) -> None:
    sender = bench.sender()
    names = queue(sender, 2)
    bench.pass_time(31)
    sender.turn()
    for _ in range(2):  # blocks of others, in which ours have no place
        bench.anvil.call("anvil_dropAllTransactions")
        bench.anvil.mine()
    bench.pass_time(6)
    sender.turn()
    first, second = (row_of(sender, name) for name in names)
    assert first.attempts[1].priority_fee_wei > first.attempts[0].priority_fee_wei
    assert len(second.attempts) == 1
    bench.anvil.mine()
    assert states(sender) == dict.fromkeys(names, MINED)


def test_turn__pool_forgets_one_in_the_middle__is_sent_again_in_its_place(bench: Bench) -> None:
    sender = bench.sender()
    names = queue(sender, 3)
    bench.anvil.call("anvil_dropTransaction", transaction_of(sender, names[1]))
    bench.anvil.mine()
    assert states(sender) == {names[0]: MINED}
    bench.pass_time(6)
    assert sender.turn() == []
    bench.anvil.mine()
    assert states(sender) == {names[1]: MINED, names[2]: MINED}
    assert (bench.balance(), bench.transaction_count()) == (6, 3)


def test_submit__beyond_the_spend_cap__waits_in_order_and_goes_out_when_a_day_has_passed(
    bench: Bench,
) -> None:
    settings = SenderSettings(spend_cap_wei=25 * 10**15)
    sender = bench.sender(settings=settings)
    value = 10**16
    first, second, third, small = (
        sender.submit(name, pay(value if name != "small" else 1))
        for name in ("first", "second", "third", "small")
    )
    assert [first, second] == [IntentState.SIGNED] * 2
    assert [third, small] == [IntentState.RESERVED] * 2  # the small one would fit, but keeps its place
    bench.anvil.mine()
    outcomes = {outcome.intent: outcome for outcome in sender.turn()}
    assert [outcomes[name].state for name in ("first", "second")] == [MINED] * 2
    for name in ("third", "small"):
        assert outcomes[name].error == f"the spend cap of {25 * 10**15} wei in 24 hours is reached"
    standing = sender.standing()
    assert (standing.unconfirmed, standing.held, standing.spend_cap_wei) == (2, 2, 25 * 10**15)
    spent = 2 * value + sum(
        receipt.gas_used * receipt.gas_price_wei
        for receipt in (row_of(sender, name).receipt for name in ("first", "second"))
        if receipt
    )
    assert standing.spent_wei == spent
    again = bench.sender(settings=settings)  # what was spent is on disk
    assert all(outcome.state is IntentState.RESERVED for outcome in again.turn())
    bench.pass_time(86_401)
    assert again.turn() == []
    bench.anvil.mine()
    assert states(again) == {"third": MINED, "small": MINED}
    assert bench.balance() == 3 * value + 1


def test_turn__replacement_beyond_the_spend_cap__keeps_the_first_offer(bench: Bench) -> None:
    sender = bench.sender(settings=SenderSettings(spend_cap_wei=10**14, rebroadcast_seconds=5))
    sender.submit("pay", pay())
    raise_base_fee(bench.anvil, 100 * GWEI)
    bench.pass_time(31)
    (held,) = sender.turn()
    assert held.state is IntentState.SIGNED and "spend cap" in str(held.error)
    assert len(row_of(sender, "pay").attempts) == 1
    raise_base_fee(bench.anvil, GWEI)
    bench.pass_time(6)
    sender.turn()
    bench.anvil.mine()
    assert states(sender) == {"pay": MINED}


def test_turn__last_mined_transaction_reorganised_away__is_sent_again(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay(7))
    bench.anvil.mine()
    assert states(sender) == {"pay": MINED}
    bench.anvil.call("anvil_reorg", 1, [])
    bench.anvil.call("anvil_dropAllTransactions")
    assert bench.balance() == 0
    bench.pass_time(6)
    (gone,) = sender.turn()
    assert (gone.state, gone.error) == (IntentState.SIGNED, "the block that held it is gone")
    bench.anvil.mine()
    assert states(sender) == {"pay": MINED}
    assert (bench.balance(), bench.transaction_count()) == (7, 1)


def test_turn__mined_in_another_block_after_a_reorganisation__tells_the_new_receipt(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay(7))
    bench.anvil.mine()
    sender.turn()
    before = sender.wait("pay", 0)
    raw = "0x" + row_of(sender, "pay").attempts[0].raw.hex()
    bench.anvil.call("anvil_reorg", 1, [[raw, 0]])
    again = bench.sender()  # a restart that missed the fork
    assert states(again) == {"pay": MINED}
    after = again.wait("pay", 0)
    assert after.transaction_hash == before.transaction_hash and after.block_hash != before.block_hash
    assert (bench.balance(), bench.transaction_count()) == (7, 1)


def test_turn__node_silent_for_a_while__goes_on_where_it_was(still_anvil: Anvil, tmp_path: Path) -> None:
    bench = Bench(still_anvil, tmp_path)
    impatient = connect(still_anvil.rpc_url, CHAIN_ID, timeout_seconds=0.3)
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    sender = Sender(impatient, account(3), outbox, CHAIN_ID, STUCK, bench.clock)
    sender.submit("before", pay(1))
    still_anvil.process.send_signal(signal.SIGSTOP)
    with pytest.raises(ChainUnavailable):
        sender.turn()
    with pytest.raises(ChainUnavailable):
        sender.submit("unreserved", pay(2))
    still_anvil.process.send_signal(signal.SIGCONT)
    assert sender.row("unreserved") is None
    sender.submit("after", pay(4))
    still_anvil.mine()
    assert states(sender) == {"before": MINED, "after": MINED}
    assert (bench.balance(), bench.transaction_count()) == (5, 2)
    outbox.close()
    disconnect(impatient)


def test_submit_many__one_that_would_revert__does_not_hold_up_the_others(bench: Bench) -> None:
    sender = bench.sender()
    reverting = Call(pay().to, b"\x01", 0)
    bench.anvil.call("anvil_setCode", pay().to, "0x" + CODE_THAT_REVERTS.hex())
    accounts = [account(index) for index in range(4, 8)]
    intents = [Intent(each.address, Call(each.address, b"", 5), 21_000) for each in accounts]  # type: ignore[arg-type]
    first, refused, *rest = sender.submit_many([intents[0], Intent("bad", reverting), *intents[1:]])
    assert isinstance(refused, TransactionReverted)
    assert [first, *rest] == [IntentState.SIGNED] * 4
    bench.anvil.mine()
    assert states(sender) == {intent.name: MINED for intent in intents}
    assert sender.row("bad") is None


def test_turn__nonce_spent_by_a_stranger__halts_the_key(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("ours", pay(7))
    bench.anvil.call("anvil_dropAllTransactions")
    stranger = bench.sender(outbox="stranger.sqlite")
    stranger.submit("theirs", pay(1000))
    bench.anvil.mine()
    assert sender.turn() == []  # a node may lag behind
    bench.pass_time(16)
    with pytest.raises(KeyContested, match="nonce 0 of intent ours went to 0x"):
        sender.turn()
    with pytest.raises(KeyContested):
        sender.submit("more", pay())
    assert sender.standing().contested and sender.row("more") is None
    again = bench.sender()  # a restart finds it again
    again.turn()
    bench.pass_time(16)
    with pytest.raises(KeyContested):
        again.turn()
    assert (bench.balance(), bench.transaction_count()) == (1000, 1)


def test_turn__stranger_sends_between_ours__halts_the_key(bench: Bench) -> None:
    sender, stranger = bench.sender(), bench.sender(outbox="stranger.sqlite")
    sender.submit("ours", pay(1))
    stranger.submit("theirs", pay(10))
    sender.submit("ours too", pay(100))
    bench.anvil.mine()
    with pytest.raises(KeyContested, match="of nonces 0 to 2, 1 have no row here"):
        sender.turn()
    assert bench.balance() == 111


def test_turn__first_offer_meets_a_strangers_in_the_pool__does_not_outbid_it(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("ours", pay(1))
    bench.anvil.call("anvil_dropAllTransactions")
    stranger = bench.sender(outbox="stranger.sqlite")
    stranger.submit("theirs", pay(10))
    for _ in range(8):
        bench.pass_time(6)
        (outcome,) = sender.turn()
        assert outcome.error is not None and "replacement" in outcome.error
    assert len(row_of(sender, "ours").attempts) == 1


def test_turn__outbox_restored_from_before_a_bump__knows_its_own_transaction(bench: Bench) -> None:
    sender = bench.sender()
    sender.submit("pay", pay(7))
    copy = bench.folder / "backup.sqlite"
    backup(bench.folder / "outbox.sqlite", copy)
    raise_base_fee(bench.anvil, 100 * GWEI)
    bench.pass_time(31)
    sender.turn()
    bench.anvil.mine(3)
    assert states(sender) == {"pay": MINED}
    restored = bench.sender(outbox=copy.name)
    assert restored.turn() == []
    bench.pass_time(16)
    assert states(restored) == {"pay": MINED}
    lost = row_of(sender, "pay").attempts[1].transaction_hash
    assert restored.wait("pay", 0).transaction_hash == lost
    restored.submit("next", pay(1))
    bench.anvil.mine()
    assert states(restored) == {"next": MINED}
    assert (bench.balance(), bench.transaction_count()) == (8, 2)


def backup(path: Path, copy: Path) -> None:
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")


def test_turn__outbox_lost_altogether__fills_its_own_gap_and_goes_on(bench: Bench) -> None:
    first = bench.sender()
    first.submit("lost", pay(1000))
    sender = bench.sender(outbox="new.sqlite")
    sender.submit("ours", pay(7))
    bench.anvil.call("anvil_dropTransaction", transaction_of(first, "lost"))
    bench.pass_time(6)
    sender.turn()
    bench.anvil.mine()
    assert states(sender) == {"gap:0": MINED, "ours": MINED}
    assert (bench.balance(), bench.transaction_count()) == (7, 2)


def test_sender__oracles_on_one_store__go_on_with_what_another_has_begun(
    bench: Bench, database_url: str
) -> None:
    with closing(open_store(database_url)) as one, closing(open_store(database_url)) as other:
        first, second = (
            Sender(bench.anvil.web3, account(3), StoreOutbox(store), CHAIN_ID, STUCK, bench.clock)
            for store in (one, other)
        )
        first.submit("a", pay(1))
        first.submit("b", pay(20))
        bench.anvil.call("anvil_dropAllTransactions")  # the first one is gone, and the node forgets
        bench.pass_time(6)
        second.submit("b", pay(20))
        second.turn()
        second.submit("c", pay(300))
        bench.anvil.mine()
        assert states(second) == dict.fromkeys("abc", MINED)
        first.submit("d", pay(4000))  # nonces that another spent are not a stranger's
        bench.anvil.mine()
        assert states(first) == {"d": MINED}
        assert [row_of(first, name).nonce for name in "abcd"] == [0, 1, 2, 3]
        assert (bench.balance(), bench.transaction_count()) == (4321, 4)
        assert first.standing().spent_wei == second.standing().spent_wei > 4321
