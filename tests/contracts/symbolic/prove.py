"""Runs halmos on the contracts beside this file; the last line says in JSON how many properties it proved.

`...Bits` are left to yices, on bit vectors; `...Integers` to cvc5, on integers.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BIN = Path(sys.executable).parent
# As halmos numbers them.
PASSED, TIMED_OUT = 0, 2
SOLVERS = {
    "Integers$": f"{sys.executable} {HERE / 'integers.py'}",
    "Bits$": str(BIN / "yices-smt2") + " --smt2-model-format --bvconst-in-decimal",
}


def prove(contracts: str, solver: str) -> Counter[str]:
    # Only what is proven is compiled.
    build = {
        "FOUNDRY_SRC": "contracts/libraries",
        "FOUNDRY_TEST": str(HERE.relative_to(ROOT)),
        "FOUNDRY_OUT": "build/prove",
        "FOUNDRY_CACHE_PATH": "build/prove-cache",
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = ["--root", str(ROOT), "--forge-build-out", "build/prove", "--no-status"]
        arguments += ["--match-contract", contracts, "--solver-command", solver, "--loop", "200"]
        # A panic of any kind is a failure, an overflow too.
        arguments += [
            "--panic-error-codes",
            "*",
            "--solver-timeout-assertion",
            "120s",
            "--solver-threads",
            "1",
        ]
        arguments += ["--json-output", str(report), "--minimal-json-output"]
        subprocess.run([BIN / "halmos", *arguments], cwd=ROOT, env=os.environ | build, check=False)
        results = json.loads(report.read_text())["test_results"] if report.exists() else {}
    names = {PASSED: "proved", TIMED_OUT: "timed_out"}
    codes = [result["exitcode"] for contract in results.values() for result in contract]
    return Counter(names.get(code, "failed") for code in codes)


def main() -> int:
    expected = sum(source.read_text().count("function check_") for source in HERE.glob("*.t.sol"))
    outcome: Counter[str] = Counter()
    for contracts, solver in SOLVERS.items():
        outcome += prove(contracts, solver)
    # A property without an outcome is not proven.
    outcome["failed"] += expected - outcome.total()
    print(json.dumps({name: outcome[name] for name in ("proved", "failed", "timed_out")}))
    return 0 if outcome["proved"] == expected else 1


if __name__ == "__main__":
    sys.exit(main())
