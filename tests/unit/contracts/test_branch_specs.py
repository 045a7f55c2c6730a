"""The `.tree` files beside the contract tests name every branch: each has its test, each test its branch."""

import re
from pathlib import Path

import pytest

CONTRACT_TESTS = Path(__file__).parents[2] / "contracts"
TREES = sorted(CONTRACT_TESTS.rglob("*.tree"))
BRANCH = re.compile(r"^(?P<indent>[│ ]*)[├└]── (?P<kind>when|fuzz|attack|it) ?(?P<words>.*)$")
TEST = re.compile(r"^    function (test\w+)\(", re.MULTILINE)


def expected_tests(tree: str) -> set[str]:
    """`when x` over `it should revert` is test_RevertWhen_X, else test_WhenX; `fuzz x` is testFuzz_X and
    `attack x` is test_Attack_X, whatever is said under them."""
    names: set[str] = set()
    condition = ""
    for line in tree.splitlines():
        match = BRANCH.match(line)
        if match is None:
            continue
        camel = "".join(word.capitalize() for word in match["words"].split())
        if match["kind"] in ("fuzz", "attack"):
            prefix = "testFuzz" if match["kind"] == "fuzz" else "test_Attack"
            names.add(f"{prefix}_{camel}")
            condition = ""
        elif match["kind"] == "when":
            condition = camel
        elif not condition:
            continue
        elif match["words"].startswith("should revert"):
            names.add(f"test_RevertWhen_{condition}")
        else:
            names.add(f"test_When{condition}")
    return names


def test_branch_specs__are_found__on_disk() -> None:
    assert len(TREES) > 15


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.stem)
def test_branch_spec__beside_its_tests__names_the_same(tree: Path) -> None:
    tests = set(TEST.findall(tree.with_suffix(".t.sol").read_text()))
    assert tests == expected_tests(tree.read_text())


def test_contract_tests__in_folders_with_specs__have_one_each() -> None:
    folders = {tree.parent for tree in TREES}
    files = {test for folder in folders for test in folder.glob("*.t.sol")}
    assert {test.with_suffix("").with_suffix(".tree") for test in files} == set(TREES)
