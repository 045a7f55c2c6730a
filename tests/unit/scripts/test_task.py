"""task.yaml: what is accepted, what it stands for, and how mistakes are named."""

from pathlib import Path

import pytest

from protocol.errors import BadInput
from protocol.structs import JobClass
from protocol.units import Digest
from scripts.task import load_task

SWEEP = """
name: sweep
workdir: code
resources: {accelerators: "RTX 4090:2"}
envs: {EPOCHS: 3, NAME: a b}
run: python src/sweep.py --lr 0.1 "two words"
config:
  gpgpu:
    max_price_per_hour: 0.25
    token: dUSD
    lease_seconds: 600
    limits: {wall_seconds: 60, memory_gib: 0.5, processes: 8, output_mib: 2, log_mib: 1}
    sweep:
      - [--seed, 1]
      - ["--seed", 2, --flag, true]
"""

TRACED = """
name: digits
run: python -m worker.sdk train:DigitsCnn --lr 0.05
config: {gpgpu: {class: traced, seed: 7, steps: 200, checkpoint_every: 20}}
"""


def _written(folder: Path, text: str) -> Path:
    (folder / "code").mkdir()
    path = folder / "task.yaml"
    path.write_text(text)
    return path


def test_task__sweep__gives_one_spec_a_row(tmp_path: Path) -> None:
    task = load_task(_written(tmp_path, SWEEP))
    specs = task.job_specs(Digest(b"\x01" * 32), task.entrypoint())
    assert [spec.arguments for spec in specs] == [
        ("--lr", "0.1", "two words", "--seed", "1"),
        ("--lr", "0.1", "two words", "--seed", "2", "--flag", "true"),
    ]
    assert {spec.entrypoint for spec in specs} == {"src/sweep.py"}
    assert {spec.job_class for spec in specs} == {JobClass.OPAQUE}
    assert task.workdir == tmp_path / "code"
    assert (task.file.resources.gpu_class, task.file.resources.gpu_count) == ("RTX 4090", 2)
    assert task.file.envs == {"EPOCHS": "3", "NAME": "a b"}
    assert task.section.max_price_per_hour == "0.25"
    assert task.limits().memory_bytes == 512 * 1024**2


def test_task__traced__names_the_step_interface(tmp_path: Path) -> None:
    task = load_task(_written(tmp_path, TRACED))
    (spec,) = task.job_specs(Digest(b"\x02" * 32), task.entrypoint())
    assert (spec.entrypoint, spec.arguments) == ("train:DigitsCnn", ("--lr", "0.05"))
    assert (spec.job_class, spec.seed, spec.steps, spec.checkpoint_every) == (JobClass.TRACED, 7, 200, 20)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: a\nrun: python a.py\nworkdirs: x", "workdirs: unknown key"),
        ("name: a\nrun: python a.py\nconfig: {gpgpu: {sede: 1}}", "config.gpgpu.sede: unknown key"),
        ("name: a\nrun: bash a.sh", "`run` must start with `python`"),
        ("name: a\nrun: python -c 'print(1)'", "`run` must name a script"),
        ("name: a\nrun: python ../a.py", "`run` must name a script"),
        ("name: a\nrun: python /etc/a.py", "`run` must name a script"),
        ("name: a\nrun: python 'a.py", "`run` is not a command line"),
        (
            "name: a\nrun: python a.py\nconfig: {gpgpu: {class: traced}}",
            "needs `steps` and `checkpoint_every`",
        ),
        ("name: a\nrun: python a.py\nconfig: {gpgpu: {steps: 5}}", "for traced tasks alone"),
        (
            "name: a\nrun: python a.py\nconfig: {gpgpu: {class: traced, steps: 1, checkpoint_every: 1}}",
            "a traced task runs `python -m worker.sdk MODULE:ATTRIBUTE",
        ),
        (
            "name: a\nrun: python -m worker.sdk a.py\n"
            "config: {gpgpu: {class: traced, steps: 1, checkpoint_every: 1}}",
            "expected MODULE:ATTRIBUTE",
        ),
        ("name: a\nrun: python a.py\nresources: {accelerators: 4090}", "resources.accelerators"),
        ("name: a\nrun: python a.py\nresources: {accelerators: 'x:0'}", 'expected "CLASS:COUNT"'),
        ("name: a\nrun: python a.py\nconfig: {gpgpu: {seed: '1'}}", "config.gpgpu.seed"),
        (
            "name: a\nrun: python a.py\nconfig: {gpgpu: {max_price_per_hour: cheap}}",
            "expected a decimal amount",
        ),
        (
            "name: a\nrun: python a.py\nconfig: {gpgpu: {max_price_per_hour: 1e-7}}",
            "expected a decimal amount",
        ),
        ("name: a\nrun: python a.py\nconfig: {gpgpu: {lease_seconds: 0}}", "config.gpgpu.lease_seconds"),
        ("name: a\nrun: python a.py\nconfig: {gpgpu: {sweep: []}}", "config.gpgpu.sweep"),
        ("name: a\nrun: python a.py\nconfig: {gpgpu: {sweep: [[{a: 1}]]}}", "expected a scalar"),
        ("name: a\nrun: python a.py\nenvs: {'A-B': 1}", "expected names of environment variables"),
        ("name: a\nrun: python a.py\nworkdir: nowhere", "expected a folder"),
        ("run: python a.py", "name: Field required"),
        ("- a", "expected a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_task__mistake__is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_task(_written(tmp_path, text))
    assert complaint in str(caught.value)
    assert "task.yaml" in str(caught.value)


def test_task__missing_file__is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_task(tmp_path / "none.yaml")
