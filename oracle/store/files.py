"""The file of a SQLite store: whether it is sound, and how a rebuilt one takes its place."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Engine

from oracle.store.failures import damaged

_PARTS = ("", "-wal", "-shm")


def building_path(path: Path) -> Path:
    """What a rebuild fills; worth nothing until it is done."""
    return path.with_name(f"{path.name}.building")


def replaced_path(path: Path) -> Path:
    """What was there before the last rebuild."""
    return path.with_name(f"{path.name}.replaced")


def remove(path: Path) -> None:
    for part in _PARTS:
        path.with_name(path.name + part).unlink(missing_ok=True)


def announce(path: Path) -> None:
    """The file that was built is whole: from now on it is the store, whatever happens before `finish`."""
    building = building_path(path)
    descriptor = os.open(building, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(building, _rebuilt_path(path))
    _sync_folder(path.parent)


def finish(path: Path) -> None:
    """Moves an announced file to its place. Does nothing where there is none; may be killed and repeated."""
    rebuilt = _rebuilt_path(path)
    if not rebuilt.exists():
        return
    for part in _PARTS:
        old = path.with_name(path.name + part)
        if old.exists():
            os.replace(old, replaced_path(path).with_name(replaced_path(path).name + part))
    os.replace(rebuilt, path)
    _sync_folder(path.parent)


def check(engine: Engine) -> None:
    """StoreBroken where pages of the file are damaged. Reads all of it."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise damaged(str(found))


def _rebuilt_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.rebuilt")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
