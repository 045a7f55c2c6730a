"""The real pynvml over a small C library that plays NVIDIA's: several cards, lost cards, no driver."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from protocol.keccak import keccak256
from protocol.units import to_hex

ROOT = Path(__file__).resolve().parents[3]
SOURCE = Path(__file__).parent / "fake_nvml.c"


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)],
        check=True,
    )
    return folder


def identify(folder: Path, cards: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "worker", "identify", "--json", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(folder), "FAKE_NVML": cards},
    )


def facts(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(folder: Path, cards: str, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(folder), "FAKE_NVML": cards},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_identify__several_cards__names_each_by_the_hash_of_its_uuid(library_folder: Path) -> None:
    found = facts(identify(library_folder, "ggg"))
    assert (found["device"], found["gpu_count"], found["driver"], found["lost"]) == (
        "cuda",
        3,
        "580.95.05",
        [],
    )
    expected = {to_hex(keccak256(b"GPU-00000000-0000-0000-0000-%012d" % index)) for index in range(3)}
    assert {gpu["id"] for gpu in found["gpus"]} == expected
    assert {(gpu["name"], gpu["vram_mib"]) for gpu in found["gpus"]} == {("NVIDIA GeForce RTX 4090", 24564)}
    assert [gpu["id"] for gpu in found["gpus"]] == sorted(gpu["id"] for gpu in found["gpus"])


def test_identify__lost_card__is_left_out_and_said(library_folder: Path) -> None:
    found = facts(identify(library_folder, "glg"))
    assert found["gpu_count"] == 2
    assert found["lost"] == ["card 1: GPU is lost"]


@pytest.mark.parametrize("cards", ["", "!"])
def test_identify__no_card_or_no_driver__is_the_cpu(library_folder: Path, cards: str) -> None:
    found = facts(identify(library_folder, cards))
    assert (found["device"], found["gpu_class"], found["gpu_count"]) == ("cpu", "CPU", 1)


def test_identify__cuda_wanted_without_driver__says_what_nvml_says(library_folder: Path) -> None:
    done = identify(library_folder, "!", "--device", "cuda")
    assert (done.returncode, "Driver Not Loaded" in done.stderr) == (1, True)


def test_identify__two_cpu_devices_of_one_host__have_ids_of_their_own(library_folder: Path) -> None:
    first, again, second = (
        facts(identify(library_folder, "", "--cpu-device", name))["gpus"][0]["id"] for name in ("a", "a", "b")
    )
    assert (first == again, first == second) == (True, False)


def test_energy__cards_that_cannot_measure_it__count_as_nothing(library_folder: Path) -> None:
    program = "from worker.inventory import NvmlInventory as N; print(N().energy_joules())"
    assert ask(library_folder, "gng", program) == "22"  # 5.5 J and 16.5 J
    assert ask(library_folder, "lll", program) == "0"


def test_read__card_lost_after_the_start__is_missing_from_then_on(library_folder: Path) -> None:
    # The library reads the variable of its own process, whose C environment os.environ writes to.
    program = (
        "import os\n"
        "from worker.inventory import NvmlInventory\n"
        "inventory = NvmlInventory()\n"
        "before = len(inventory.read().gpus)\n"
        "os.environ['FAKE_NVML'] = 'gl'\n"
        "after = inventory.read()\n"
        "print(before, len(after.gpus), after.lost)\n"
    )
    assert ask(library_folder, "gg", program) == "2 1 ('card 1: GPU is lost',)"
