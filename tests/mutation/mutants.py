"""What a mutant is: one token or statement of one source file changed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Tokens that are code wherever they stand outside comments, strings, imports, events and errors.
_SWAPS: Final = (
    (r"(?<![<>=!&|])<(?![<=])", "<="),
    (r"<=", "<"),
    (r"(?<![<>=!-])>(?![>=])", ">="),
    (r"(?<!>)>=", ">"),
    (r"==", "!="),
    (r"!=", "=="),
    (r"(?<= )\+(?= )", "-"),
    (r"(?<= )-(?= )", "+"),
    (r"(?<= )\*(?= )", "/"),
    (r"(?<= )/(?= )", "*"),
    (r"\+=", "-="),
    (r"-=", "+="),
    (r"&&", "||"),
    (r"\|\|", "&&"),
    (r"(?<= )&(?= )", "|"),
    (r"\|=", "&="),
    (r"\bMath\.min\b", "Math.max"),
    (r"\bMath\.max\b", "Math.min"),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"(?<=\bif )\((?=.* revert )", "(false && ("),
    (r"\bonlyCourt\b|\bonlyOwner\b|\bonlyMarket\b|\bnonReentrant\b", ""),
)
_STATEMENT: Final = re.compile(r"^\s+(?:emit |delete |_[a-z]\w*\(|[a-z_][\w.\[\]]* [|+-]?= ).*;\s*$")
_NO_CODE: Final = re.compile(
    r"^\s*(?://|///|\*|import |event |error |pragma |modifier |using |struct |enum )"
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`line` counts from 1."""

    path: str
    line: int
    before: str
    after: str

    def apply(self, source: str) -> str:
        lines = source.split("\n")
        assert lines[self.line - 1] == self.before, "a mutant of another version of the file"
        lines[self.line - 1] = self.after
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before.strip()}  ->  {self.after.strip() or '(deleted)'}"


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a source file, line by line. Some do not compile: they do not count."""
    in_comment = False
    for number, line in enumerate(source.split("\n"), 1):
        in_comment = (in_comment or "/*" in line) and "*/" not in line
        if in_comment or _NO_CODE.match(line):
            continue
        code = line.split("//")[0]
        seen = {line}
        for after in _changed(code):
            if after not in seen:
                seen.add(after)
                yield Mutant(path, number, line, after)


def _changed(code: str) -> Iterator[str]:
    for pattern, replacement in _SWAPS:
        for match in re.finditer(pattern, _without_strings(code)):
            after = code[: match.start()] + replacement + code[match.end() :]
            yield after.replace(") revert ", ")) revert ", 1) if replacement.startswith("(false") else after
    if _STATEMENT.match(code):
        yield ""


def _without_strings(code: str) -> str:
    """The same length, so that positions stay."""
    return re.sub(r'"[^"]*"', lambda text: '"' + " " * (len(text.group()) - 2) + '"', code)
