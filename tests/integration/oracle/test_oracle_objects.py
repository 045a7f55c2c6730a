"""Artifacts in an object store: moto's server speaks S3, and the oracle works on it as on a folder."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from oracle.artifact_objects import ArtifactObjects
from oracle.artifacts import BLOCK_BYTES
from protocol.errors import BadInput, ServiceUnavailable
from protocol.units import ProofHash
from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.oracle_tus import create, offset_of, patch
from tests.postgres import Postgres

BUCKET = "artifacts"
DATA = hashlib.shake_128(b"object").digest(BLOCK_BYTES + 99)
DIGEST = rig.sha256(DATA)


@dataclass(frozen=True, slots=True)
class Objects:
    """The bucket, and how the settings name it."""

    client: Any
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return self.settings["artifact_url"]

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.fixture(scope="module")
def objects() -> Iterator[Objects]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    credentials = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **credentials)
    client.create_bucket(Bucket=BUCKET)
    settings = {
        "artifact_url": f"s3://{BUCKET}/some/prefix",
        "artifact_endpoint": endpoint,
        "artifact_key": "testing",
        "artifact_secret": "testing",
    }
    yield Objects(client, settings)
    client.close()
    server.stop()


def test_objects__kept_read_listed_removed__as_in_a_folder(objects: Objects, tmp_path: Path) -> None:
    store = ArtifactObjects(objects.url, objects.settings["artifact_endpoint"], "testing", "testing")
    staged = tmp_path / "staged"
    staged.write_bytes(DATA)
    with pytest.raises(FileNotFoundError):
        store.read(DIGEST, 0, 10)
    store.keep(staged, DIGEST)
    store.keep(staged, DIGEST)
    assert store.read(DIGEST, 0, len(DATA)) == DATA
    assert store.read(DIGEST, BLOCK_BYTES, 5) == DATA[BLOCK_BYTES : BLOCK_BYTES + 5]
    assert store.read(DIGEST, len(DATA), 5) == b""
    assert list(store.digests()) == [DIGEST]
    assert objects.keys() == [f"some/prefix/sha256/{DIGEST.hex()[:2]}/{DIGEST.hex()}"]
    store.remove(DIGEST)
    store.remove(DIGEST)
    assert list(store.digests()) == []
    proof_hash = ProofHash(b"\x01" * 32)
    assert store.read_evidence(proof_hash) is None
    store.keep_evidence(proof_hash, staged)
    assert store.read_evidence(proof_hash) == DATA
    objects.client.delete_object(Bucket=BUCKET, Key=objects.keys()[0])


def test_objects__service_away_or_address_wrong__is_told_apart(tmp_path: Path) -> None:
    store = ArtifactObjects(f"s3://{BUCKET}", "http://127.0.0.1:9", "testing", "testing")
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    for call in (lambda: store.keep(staged, DIGEST), lambda: store.read(DIGEST, 0, 1)):
        with pytest.raises(ServiceUnavailable, match="artifact store"):
            call()
    for url in ("file:///tmp", "s3://", "bucket"):
        with pytest.raises(BadInput, match="artifact_url"):
            ArtifactObjects(url, "", None, None)


def test_oracle__artifacts_in_a_bucket__served_checked_and_nowhere_else(
    objects: Objects, still_deployment: Deployment, tmp_path: Path
) -> None:
    folder = tmp_path / "oracle"
    with rig.run_oracle(folder, still_deployment, **objects.settings) as oracle:
        manifest = still_deployment.manifest
        domain = rig.Domain(manifest.chain_id, manifest.market)
        caller = rig.Caller(oracle, domain, still_deployment.anvil.accounts[4])
        assert caller.upload(DATA).status_code == 201
        target, (key,) = f"/v1/artifacts/{DIGEST.hex()}", objects.keys()
        assert caller("GET", target).content == DATA
        assert caller("GET", target, Range=f"bytes={BLOCK_BYTES}-").content == DATA[BLOCK_BYTES:]
        here = folder / "data" / "artifacts"
        assert [path.name for path in here.rglob("*")] == ["incoming"]
        assert "testing" not in oracle.log_path.read_text()
        altered = bytes([DATA[0] ^ 1]) + DATA[1:]
        objects.client.put_object(Bucket=BUCKET, Key=key, Body=altered)
        response = caller("GET", target)
        assert (response.status_code, response.json()["code"]) == (410, "artifact_damaged")
        assert caller.upload(DATA).status_code == 200
        assert caller("GET", target).content == DATA


def test_oracles__one_bucket_and_database__what_one_has_begun_the_other_ends(
    objects: Objects, still_deployment: Deployment, tmp_path: Path, postgres: Postgres
) -> None:
    settings = {"database_url": postgres.new_database(), "housekeeping_seconds": 0.3, **objects.settings}
    domain = rig.Domain(still_deployment.manifest.chain_id, still_deployment.manifest.market)
    data = DATA[:50_000]
    target = f"/v1/artifacts/{rig.sha256(data).hex()}"
    with (
        rig.run_oracle(tmp_path / "first", still_deployment, **settings) as first,
        rig.run_oracle(tmp_path / "second", still_deployment, **settings) as second,
    ):
        here, there = (
            rig.Caller(oracle, domain, still_deployment.anvil.accounts[4]) for oracle in (first, second)
        )
        begun = create(there, data).headers["Location"]
        assert patch(there, begun, 0, data[:1000]).status_code == 204
        # The second's pieces are not here.
        assert offset_of(here, begun) == 0
        assert patch(here, begun, 0, data).status_code == 204
        assert here("GET", target).content == there("GET", target).content == data
        assert create(there, data).headers["Upload-Offset"] == str(len(data))
        # Whoever has not the duty of housekeeping still throws away its own.
        (part,) = (tmp_path / "second" / "data" / "artifacts" / "incoming").iterdir()
        os.utime(part, (0, 0))
        rig.until(lambda: not part.exists(), "the part is gone")
        assert "housekeeping" not in {line["duty"] for line in second.lines("duty_taken")}
        assert here("GET", target).content == data
