"""Tables of artifacts: whose they are, which jobs use them, uploads, what leaves. Forms as in `tables`."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from oracle.store.columns import PlainText, account_column, hash_column, integer, metadata

artifacts = Table(
    "artifacts",
    metadata,
    hash_column("digest", primary_key=True),
    integer("size_bytes"),
    integer("stored_at"),
    # SHA-256 of each `oracle.artifacts.BLOCK_BYTES`; NULL: not taken yet.
    Column("block_digests", LargeBinary, nullable=True),
    # When housekeeping first saw that nothing needs it; NULL: something does.
    integer("unneeded_since", nullable=True),
)

# Artifacts whose rows are gone and whose bytes are about to be: no upload of them begins or ends meanwhile.
leaving_artifacts = Table("leaving_artifacts", metadata, hash_column("digest", primary_key=True))

# Uploads under way; to have one is to keep its digest from leaving. The bytes lie in the staging folder.
uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String(32), primary_key=True),
    account_column("account", index=True),
    hash_column("digest", index=True),
    integer("size_bytes"),
    integer("offset_bytes"),  # so many are on the disk and were signed for
    integer("touched_at", index=True),
)

# Who has shown to possess the bytes, by uploading all of them. The quota of an account is over these rows.
artifact_owners = Table(
    "artifact_owners",
    metadata,
    Column("digest", LargeBinary(32), ForeignKey("artifacts.digest"), primary_key=True),
    Column("account", String(42), primary_key=True),
    integer("stored_at"),
    Index(None, "account"),
)

# Which artifacts a job refers to, by their names there: bundle, data, output, trace, log, checkpoint/<i>.
artifact_uses = Table(
    "artifact_uses",
    metadata,
    Column("job_id", LargeBinary(32), ForeignKey("jobs.job_id"), primary_key=True),
    Column("name", PlainText, primary_key=True),
    hash_column("digest", index=True),
)
