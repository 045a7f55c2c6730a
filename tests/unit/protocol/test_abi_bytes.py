"""Our decoding stays strict whatever else is loaded into the process."""

import subprocess
import sys

import pytest

PROGRAM = """
{first}
{second}
from eth_abi.exceptions import DecodingError
for abi_type, data in (("uint16", b""), ("uint256", bytes(31)), ("address", b""), ("bytes32", bytes(31))):
    try:
        print("took", abi_type, abi_decode([abi_type], data))
    except DecodingError:
        print("refused")
"""
OURS, APES = "from protocol.abi_bytes import abi_decode", "import ape.utils.abi"


@pytest.mark.parametrize(("first", "second"), [(OURS, APES), (APES, OURS)], ids=["ours first", "ape first"])
def test_abi_decode__beside_ape__refuses_missing_bytes(first: str, second: str) -> None:
    program = PROGRAM.format(first=first, second=second)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 4
