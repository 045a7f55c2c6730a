"""The points at which a process is killed, enumerated from the code: before and after each durable step.

A step is a commit, a signature, a transaction's broadcast, a look for its receipt, or a worker's delivery.
One that is written tomorrow is found tomorrow; `bypasses` tells what gets to disk or chain by another way.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"oracle": ("oracle", "protocol"), "worker": ("worker", "protocol")}
"""The code that each program runs."""
MOMENTS = ("before", "after")

COMMITTING = frozenset({"write", "transaction", "_transaction", "_begin"})
ASKING = {"eth_sendRawTransaction": "send", "eth_getTransactionReceipt": "receipt"}
DELIVERING = "_client"

# The steps themselves, and those of the renter's own process.
PRIMITIVES = frozenset({"protocol/typed_data.py", "worker/sdk"})
_READS_ONLY = re.compile(r"\bSELECT\b")
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")
_BYPASSES = re.compile(
    r"\.commit\(\)|\.begin\(\)|\"COMMIT\"|executescript|send_raw_transaction|send_transaction|sign_message"
)


@dataclass(frozen=True, slots=True)
class Site:
    """One step in the code; `lines` of its file in which a frame is that takes it."""

    kind: str
    path: str
    function: str
    lines: range
    number: int = 0

    @property
    def name(self) -> str:
        module = self.path.removesuffix(".py").replace("/", ".")
        return f"{self.kind} {module}.{self.function}" + (f" #{self.number + 1}" if self.number else "")


def points_of(program: str) -> frozenset[str]:
    """The names of all points of a program, as `point_name` makes them."""
    return frozenset(point_name(program, site, moment) for site in sites(program) for moment in MOMENTS)


def point_name(program: str, site: Site, moment: str) -> str:
    return f"{program}: {moment} {site.name}"


@functools.cache
def sites(program: str) -> tuple[Site, ...]:
    found: list[Site] = []
    for path in _sources(program):
        seen: Counter[str] = Counter()
        for site in _sites_in(path):
            found.append(replace(site, number=seen[site.name]))
            seen[site.name] += 1
    return tuple(found)


def bypasses(program: str) -> list[str]:
    """Lines that commit, sign or send without a step that is enumerated."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _sources(program)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _BYPASSES.search(line)
    ]


def _sources(program: str) -> Iterator[Path]:
    for room in ROOMS[program]:
        for path in sorted((ROOT / room).rglob("*.py")):
            if not any(str(path.relative_to(ROOT)).startswith(name) for name in PRIMITIVES):
                yield path


def _sites_in(path: Path) -> Iterator[Site]:
    text = path.read_text()
    place = str(path.relative_to(ROOT))

    def walk(node: ast.AST, inside: tuple[str, ...]) -> Iterator[Site]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(child, (*inside, child.name))
                continue
            function = ".".join(inside) or "<module>"
            for kind, lines in _steps(child, text):
                yield Site(kind, place, function, lines)
            yield from walk(child, inside)

    yield from walk(ast.parse(text), ())
    for function, name, lines in _functions(ast.parse(text)):
        for kind in sorted({ASKING[word] for word in _strings(function) if word in ASKING}):
            yield Site(kind, place, name, lines)


def _steps(node: ast.AST, text: str) -> Iterator[tuple[str, range]]:
    if isinstance(node, ast.With):
        for item in node.items:
            call = item.context_expr
            if _called(call) in COMMITTING and _may_write(node, text):
                yield "commit", _lines(call)
    elif isinstance(node, ast.Call):
        if _called(node) == ("sign" if isinstance(node.func, ast.Name) else "sign_transaction"):
            yield "sign", _lines(node)
        elif _called(node) == "send" and _owner(node) == DELIVERING:
            yield "deliver", _lines(node)


def _may_write(block: ast.With, text: str) -> bool:
    body = "\n".join(ast.get_source_segment(text, part) or "" for part in block.body)
    return bool(_WRITES.search(body)) or not _READS_ONLY.search(body)


def _functions(node: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[tuple[ast.AST, str, range]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, (*inside, child.name))
        elif isinstance(child, ast.FunctionDef):
            yield child, ".".join((*inside, child.name)), _lines(child)


def _strings(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value


def _lines(node: ast.AST) -> range:
    first: int = getattr(node, "lineno")  # noqa: B009  every expression and statement has one
    last: int = getattr(node, "end_lineno")  # noqa: B009
    return range(first, last + 1)


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _owner(call: ast.Call) -> str:
    """The attribute whose method is called."""
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Attribute):
        return function.value.attr
    return ""
