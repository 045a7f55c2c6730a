"""Keys of those who check jobs, to which TRACED and EXACT ones are sealed too: each signed by its owner."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from protocol.errors import BadInput, LimitExceeded
from protocol.json_text import parse_json
from protocol.readers import ReaderKey, check_reader_key
from protocol.sealing import MAX_READERS
from protocol.typed_data import Domain


def load_readers(path: Path | None, domain: Domain) -> tuple[ReaderKey, ...]:
    """A JSON list of what `gpgpu audit reader` prints. BadInput, SignatureInvalid where one is not sound."""
    if path is None:
        return ()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInput(f"readers_file: cannot read {path}: {error.strerror}") from error
    data = parse_json(text, f"readers_file {path}")
    if not isinstance(data, list):
        raise BadInput(f"readers_file {path}: expected a list")
    readers = tuple(ReaderKey.from_json(item) for item in cast(list[object], data))
    # Renter and worker read too.
    if len(readers) > MAX_READERS - 2:
        raise LimitExceeded(f"readers_file: expected at most {MAX_READERS - 2} keys, got {len(readers)}")
    for reader in readers:
        check_reader_key(domain, reader)
    return readers
