"""Amounts, hours, addresses of keystores, start scripts: the client's pure parts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.accrual import ALWAYS, scheduled_seconds
from protocol.errors import BadInput
from protocol.signed import SignedOffer
from protocol.structs import Offer, OfferKind
from protocol.units import UnitId, address_of, pack_name
from protocol.weekly_hours import format_hours, parse_hours, rule_around
from scripts.client.amounts import format_amount, format_duration, parse_amount
from scripts.client.bundling import bundle_of, start_script
from scripts.client.offers import read_signed_offer, signed_offer_text
from scripts.client.providing import class_of, read_devices
from scripts.client.schedules import Schedule, format_instant, parse_instant, schedule_of
from scripts.client.wallet import address_of_keystore, unlock, write_development_keystore
from scripts.task import load_task

MONDAY = 1_767_571_200  # 2026-01-05 00:00 UTC


@given(st.integers(min_value=0, max_value=2**96), st.integers(min_value=0, max_value=18))
def test_amount__shown_and_read_again__is_the_same(units: int, decimals: int) -> None:
    assert parse_amount(format_amount(units, decimals), decimals) == units


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [("1.5", 6, 1_500_000), ("0", 6, 0), ("3.60", 1, 36), ("007", 0, 7), ("1.000000", 2, 100)],
)
def test_parse_amount__decimal__is_exact(text: str, decimals: int, units: int) -> None:
    assert parse_amount(text, decimals) == units


@pytest.mark.parametrize("text", ["", "-1", "1e3", ".5", "1.", "1,5", "0x10", "1.1234567", "٣"])
def test_parse_amount__anything_else__is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_amount(text, 6)


def test_format_amount__negative__keeps_its_sign() -> None:
    assert format_amount(-1_500_000, 6) == "-1.5"
    assert format_amount(5, 0) == "5"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (7384, "2 h 03 min")]
)
def test_format_duration__seconds__are_readable(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("rules", "mask"),
    [
        ([], ALWAYS),
        (["always"], ALWAYS),
        (["mon 0-1"], 1),
        (["mon 0-24"], (1 << 24) - 1),
        (["Mon-Tue 0-1"], 1 | 1 << 24),
        (["sun 23-24"], 1 << 167),
        (["sun 23-1"], 1 << 167 | 1),
        (["sun-mon 0-1"], 1 << 144 | 1),
        (["mon 0-1", "mon 1-2"], 3),
    ],
)
def test_parse_hours__rules__give_the_mask(rules: list[str], mask: int) -> None:
    assert parse_hours(rules) == mask


@pytest.mark.parametrize("rule", ["", "mon", "mon 1-1", "mon 25-26", "mon 0-25", "xyz 0-1", "mon-xyz 0-1"])
def test_parse_hours__malformed__is_refused(rule: str) -> None:
    with pytest.raises(BadInput):
        parse_hours([rule])


def test_format_hours__mask__is_counted() -> None:
    assert format_hours(ALWAYS) == "always"
    assert format_hours(7) == "3 h a week"


@pytest.mark.parametrize(
    ("instant", "hours", "rule"),
    [
        (MONDAY, 1, "mon 0-1"),
        (MONDAY + 3599, 1, "mon 0-1"),
        (MONDAY + 23 * 3600, 1, "mon 23-24"),
        (MONDAY + 23 * 3600, 3, "mon 23-2"),
        (MONDAY - 1, 12, "sun 23-11"),
        (MONDAY + 21 * 3600, 12, "mon 21-9"),
    ],
)
def test_rule_around__instant__begins_with_its_hour(instant: int, hours: int, rule: str) -> None:
    assert rule_around(instant, hours) == rule
    mask = parse_hours([rule])
    assert mask.bit_count() == hours
    assert scheduled_seconds(mask, instant, instant + 1) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1767571200", MONDAY),
        ("2026-01-05", MONDAY),
        ("2026-01-05T00:00Z", MONDAY),
        ("2026-01-05 01:00+01:00", MONDAY),
        ("2026-01-05T18:00", MONDAY + 18 * 3600),
    ],
)
def test_parse_instant__text__is_utc_unless_it_says_otherwise(text: str, seconds: int) -> None:
    assert parse_instant(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "-5", "18:00", "٣"])
def test_parse_instant__malformed__is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="instant"):
        parse_instant(text)


def test_format_instant__shown__is_read_again() -> None:
    assert format_instant(MONDAY) == "2026-01-05 00:00:00 UTC"
    assert parse_instant(format_instant(MONDAY).removesuffix(" UTC")) == MONDAY


def test_schedule_of__task_and_options__make_one() -> None:
    assert schedule_of(600, None, ()) == Schedule(600, 600)
    assert schedule_of(600, 7200, ["mon 0-1"]) == Schedule(600, 7200, weekly_hours=1)
    chosen = schedule_of(600, None, (), "2026-01-05", "2026-01-06")
    assert chosen == Schedule(600, 0, start=MONDAY, end=MONDAY + 86_400)
    with pytest.raises(BadInput, match="end: expected an instant after"):
        schedule_of(600, None, (), "2026-01-05", "2026-01-05")
    with pytest.raises(BadInput, match="max_lease_seconds"):
        schedule_of(600, 599, ())
    with pytest.raises(BadInput, match="hours"):
        schedule_of(600, None, ["whenever"])


def _signed_offer() -> SignedOffer:
    offer = Offer(
        provider=address_of(b"\x01" * 20),
        unit_id=UnitId(b"\x07" * 32),
        gpu_class=pack_name("CPU"),
        gpu_count=1,
        token=address_of(b"\x02" * 20),
        price_per_hour=10**20,
        kind=OfferKind.RESERVED,
        weekly_hours=ALWAYS,
        min_seconds=60,
        max_seconds=7200,
        notice_seconds=10,
        bond=10**18,
        valid_until=MONDAY,
        salt=(5 << 232) + 1,
    )
    return SignedOffer(offer, b"\x03" * 65)


def test_signed_offer__written__is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "offer.json"
    path.write_text(signed_offer_text(_signed_offer()))
    assert read_signed_offer(path) == _signed_offer()
    assert read_signed_offer(path).offer_hash == _signed_offer().offer_hash


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "0x"},
        {"signature": "0x0"},
        {"signature": 5},
        {"signature": "0x" + "00" * 5000},
        {"offer": {}},
        {"extra": 1},
    ],
)
def test_read_signed_offer__malformed__is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "offer.json"
    path.write_text(json.dumps({**_signed_offer().to_json(), **change}))
    with pytest.raises(BadInput):
        read_signed_offer(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_signed_offer(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "gpu_class"),
    [("NVIDIA GeForce RTX 4090", "RTX 4090"), ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3"), ("CPU", "CPU")],
)
def test_class_of__card__loses_its_vendor(name: str, gpu_class: str) -> None:
    assert class_of(name) == gpu_class


def test_read_devices__two_classes__are_refused(tmp_path: Path) -> None:
    path = tmp_path / "inventory.json"
    gpus = [
        {"id": "0x" + digits * 32, "name": name, "vram_mib": 1} for digits, name in (("ab", "A"), ("cd", "B"))
    ]
    path.write_text(json.dumps({"gpus": gpus}))
    with pytest.raises(BadInput, match="one class"):
        read_devices(path)


def test_keystore__written__is_private_and_opens_with_its_password(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    address = write_development_keystore(path, "secret")
    assert path.stat().st_mode & 0o077 == 0
    assert address_of_keystore(path) == address
    assert unlock(path, None, lambda _: "secret").address == address
    (tmp_path / "password").write_text("secret\nsecond line\n")
    assert unlock(path, tmp_path / "password", lambda _: "not asked").address == address
    with pytest.raises(BadInput, match="cannot be unlocked"):
        unlock(path, None, lambda _: "wrong")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"address": "xyz"}', '{"address": 5}'])
def test_keystore__malformed__is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(BadInput):
        address_of_keystore(path)
    with pytest.raises(BadInput):
        unlock(path, None, lambda _: "x")


def _task(folder: Path, run: str, envs: str, more: str = "") -> Path:
    (folder / "code" / "src").mkdir(parents=True)
    (folder / "code" / "src" / "job.py").write_text(
        "import os, sys\nfrom helper import word\nprint(word, os.environ['A'], sys.argv[1:], __name__)\n"
    )
    (folder / "code" / "src" / "helper.py").write_text("word = 'helped'\n")
    (folder / "code" / "train.py").write_text("import os\nclass Job:\n    value = os.environ['A']\n")
    path = folder / "task.yaml"
    path.write_text(f"name: t\nworkdir: code\nrun: {run}\n{envs}\n{more}")
    return path


def test_bundle__with_envs__runs_the_script_as_it_is_with_them(tmp_path: Path) -> None:
    task = load_task(_task(tmp_path, "python src/job.py --x", "envs: {A: 'it''s'}"))
    with bundle_of(task) as bundle:
        assert bundle.entrypoint == "gpgpu_start.py"
        folder = tmp_path / "out"
        subprocess.run(["tar", "-xf", str(bundle.path), "--one-top-level=" + str(folder)], check=True)
        shown = subprocess.run(
            [sys.executable, str(folder / bundle.entrypoint), "--x"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert shown.stdout == "helped it's ['--x'] __main__\n"


def test_bundle__traced_with_envs__imports_the_attribute_with_them(tmp_path: Path) -> None:
    more = "config: {gpgpu: {class: traced, steps: 1, checkpoint_every: 1}}"
    task = load_task(_task(tmp_path, "python -m worker.sdk train:Job", "envs: {A: b}", more))
    with bundle_of(task) as bundle:
        assert bundle.entrypoint == "gpgpu_start:Job"
        folder = tmp_path / "out"
        subprocess.run(["tar", "-xf", str(bundle.path), "--one-top-level=" + str(folder)], check=True)
        shown = subprocess.run(
            [sys.executable, "-c", "from gpgpu_start import Job; print(Job.value)"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    assert shown.stdout == "b\n"


def test_bundle__same_folder__has_the_same_digest_whatever_the_order_of_envs(tmp_path: Path) -> None:
    digests = set()
    for name, envs in (("x", "envs: {A: 1, B: 2}"), ("y", "envs: {B: 2, A: 1}")):
        (tmp_path / name).mkdir()
        with bundle_of(load_task(_task(tmp_path / name, "python src/job.py", envs))) as bundle:
            digests.add(bundle.digest)
    assert len(digests) == 1


def test_bundle__start_script_taken__is_refused(tmp_path: Path) -> None:
    path = _task(tmp_path, "python src/job.py", "envs: {A: 1}")
    (tmp_path / "code" / "gpgpu_start.py").write_text("")
    with pytest.raises(BadInput, match="may not hold a file"), bundle_of(load_task(path)):
        pass


def test_start_script__hostile_values__stay_values() -> None:
    script = start_script({"A": "'; import os; os.abort()  # \n"}, "job.py", False)
    compile(script, "start", "exec")
    assert script.count("os.abort") == 1
    assert "\n; import" not in script
