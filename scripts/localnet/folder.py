"""The folder of a local network: what lies where, made fresh, and used by one network at a time."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BadInput
from protocol.units import Address
from scripts.client.wallet import write_development_keystore

MARK = ".gpgpu-network"
PASSWORD = "development"  # noqa: S105 - of keys that hold nothing of worth, on a chain that ends with its process


@dataclass(frozen=True, slots=True)
class NetworkFolder:
    """Paths of one network, all below `root`, which is absolute."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "deployment.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def password_file(self) -> Path:
        return self.root / "keys" / "password"

    @property
    def artifacts(self) -> Path:
        """Where the oracle keeps evidence and artifacts."""
        return self.root / "oracle" / "artifacts"

    @property
    def readers_file(self) -> Path:
        """The keys that the oracle publishes for jobs that can be checked."""
        return self.root / "readers.json"

    def reader_key(self, name: str) -> Path:
        return self.root / "keys" / f"{name}.reader"

    def encryption_keys(self, worker: str) -> Path:
        """Of a worker."""
        return self.data_dir(worker) / "keys"

    def keystore(self, name: str) -> Path:
        return self.root / "keys" / f"{name}.json"

    def data_dir(self, name: str) -> Path:
        return self.root / name

    def make_key(self, name: str) -> Address:
        """A new key with this name; its address."""
        if not self.password_file.exists():
            self.password_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(PASSWORD + "\n", encoding="utf-8")
        return write_development_keystore(self.keystore(name), PASSWORD)


@contextmanager
def fresh_folder(root: Path) -> Iterator[NetworkFolder]:
    """An empty folder for one network. What an earlier network left in it is removed, nothing else ever is.

    BadInput where the folder holds other things, or where a network runs in it now.
    """
    root = root.resolve()
    if root.exists() and any(root.iterdir()) and not (root / MARK).is_file():
        raise BadInput(f"{root}: expected an empty folder, or one of an earlier network, found other files")
    root.mkdir(parents=True, exist_ok=True)
    with (root / MARK).open("a") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"{root}: another network runs in it") from error
        for entry in root.iterdir():
            if entry.name == MARK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        # Nothing of a network belongs into anybody's repository.
        (root / ".gitignore").write_text("*\n", encoding="utf-8")
        yield NetworkFolder(root)
