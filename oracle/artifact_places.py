"""The artifact store and the quotas that the settings ask for."""

from __future__ import annotations

from pydantic import SecretStr

from oracle.artifact_folder import ArtifactFolder
from oracle.artifacts import ArtifactStore
from oracle.settings import Settings
from oracle.uploads import Quotas


def open_artifacts(settings: Settings) -> ArtifactStore:
    """BadInput for an address that is none."""
    if not settings.artifact_url:
        return ArtifactFolder(settings.data_dir / "artifacts")
    # Its imports take a second, which a local folder need not wait for.
    from oracle.artifact_objects import ArtifactObjects

    key, secret = _text(settings.artifact_key), _text(settings.artifact_secret)
    return ArtifactObjects(settings.artifact_url, settings.artifact_endpoint, key, secret)


def quotas_of(settings: Settings) -> Quotas:
    return Quotas(
        max_artifact_bytes=settings.max_artifact_bytes,
        account_bytes=settings.account_quota_bytes,
        newcomer_bytes=settings.newcomer_quota_bytes,
        newcomers_bytes=settings.newcomers_quota_bytes,
        max_uploads=settings.max_account_uploads,
    )


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
