"""The points at which processes are killed are all that there are in the code."""

from tests.faults.points import ROOMS, bypasses, points_of, sites

# The steps themselves, what only reads, what makes tables, and what mends a damaged file beside the store.
KNOWN_BYPASSES = {
    "oracle/store/bell.py": 1,
    "oracle/store/engine.py": 2,
    "oracle/store/salvage.py": 1,
    "protocol/outbox.py": 2,
    "worker/journal/database.py": 4,
}


def test_sites__of_code_that_we_know__are_found() -> None:
    names = {site.name for program in ROOMS for site in sites(program)}
    assert names >= {
        "commit oracle.dispatcher.Dispatcher.turn",
        "commit oracle.watcher.Watcher._write",
        "commit oracle.intake.Intake.receipt",
        "commit worker.journal.receipts.ReceiptRows.add",
        "deliver worker.artifacts.ArtifactClient._send",
        "sign worker.attempt.Attempt._sign",
    }
    kinds = {name.split()[0] for name in names}
    assert kinds == {"commit", "sign", "send", "receipt", "deliver"}


def test_points__of_a_program__are_named_once() -> None:
    for program in ROOMS:
        assert len(points_of(program)) == 2 * len(sites(program)) > 50


def test_bypasses__commit_sign_or_send_without_a_point__there_are_none() -> None:
    found = {line for program in ROOMS for line in bypasses(program)}
    by_file = {path: sum(line.startswith(f"{path}:") for line in found) for path in KNOWN_BYPASSES}
    assert by_file == KNOWN_BYPASSES
    assert len(found) == sum(KNOWN_BYPASSES.values()), found
