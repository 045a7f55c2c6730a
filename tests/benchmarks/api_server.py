"""The two servers of the API benchmark, on one database: ours, and what a FastAPI tutorial builds.

`python -m tests.benchmarks.api_server ours|peer FOLDER` serves until it is ended; its first line is the port.
"""

import asyncio
import hashlib
import json
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import structlog
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from oracle.api.application import build_application
from oracle.api.doors import Doors
from oracle.api.limits import Buckets, Streams
from oracle.api.services import Services
from oracle.joblogs import JobLogs
from oracle.links import Links
from oracle.server import server_config
from oracle.settings import Settings
from oracle.store import tables
from oracle.store.engine import open_store
from oracle.wakeups import JobWakeups
from tests.unit.oracle.oracle_samples import DOMAIN, MONDAY

ENDLESS = 10**9


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'store.sqlite'}"


def open_doors() -> Doors:
    """Nobody is held up, and nothing is asked of a chain."""
    return Doors(
        origin="http://127.0.0.1",
        check_sign_in=lambda _message, _signature: DOMAIN.market,
        chain_reachable=lambda: True,
        standing=lambda: None,
        metrics_token_digest=None,
        by_address=Buckets(ENDLESS, ENDLESS),
        by_account=Buckets(ENDLESS, ENDLESS),
        streams=Streams(1, 1),
    )


def ours(folder: Path) -> FastAPI:
    """The API as the oracle has it, without the chain behind it."""
    settings = Settings(
        rpc_url="http://127.0.0.1:1",
        chain_id=DOMAIN.chain_id,
        manifest=folder / "manifest.json",
        data_dir=folder,
    )
    services = SimpleNamespace(
        settings=settings,
        domain=DOMAIN,
        store=open_store(database_url(folder)),
        logs=JobLogs(folder / "logs"),
        readers=(),
        links=Links(),
        wakeups=JobWakeups(),
        now=lambda: MONDAY,
        head_block=lambda: 10,
        doors=open_doors(),
        book=SimpleNamespace(version=None),
    )
    return build_application(cast(Services, services))


class Base(DeclarativeBase):
    pass


class OfferRow(Base):
    __table__ = tables.offers


class JobRow(Base):
    __table__ = tables.jobs


class SessionRow(Base):
    __table__ = tables.sessions


class OfferAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    offer_hash: str
    offer: dict[str, Any]
    listed: bool


class JobAnswer(BaseModel):
    job_id: str
    lease_id: str
    state: str
    detail: str
    order: dict[str, Any]
    spec: dict[str, Any]
    created_at: int
    updated_at: int


def peer(folder: Path) -> FastAPI:
    """Sync endpoints, an ORM session for each request, pydantic models out: the usual way."""
    engine = create_engine(database_url(folder), connect_args={"check_same_thread": False}, pool_size=40)
    make_session = sessionmaker(engine)
    app = FastAPI()

    def session() -> Iterator[Session]:
        with make_session() as opened:
            yield opened

    def account(authorization: str = Header(), database: Session = Depends(session)) -> str:  # noqa: B008
        token = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).digest()
        found = database.get(SessionRow, token)
        if found is None or found.expires_at <= MONDAY:
            raise HTTPException(401)
        return found.account

    @app.get("/v1/offers")
    def list_offers(limit: int, database: Session = Depends(session)) -> list[OfferAnswer]:  # noqa: B008
        query = select(OfferRow).where(OfferRow.listed).order_by(OfferRow.price_per_hour).limit(limit)
        return [
            OfferAnswer(
                offer_hash=row.offer_hash.hex(), offer=json.loads(row.body)["offer"], listed=row.listed
            )
            for row in database.scalars(query)
        ]

    @app.get("/v1/jobs/{job_id}")
    def read_job(
        job_id: str,
        caller: str = Depends(account),
        database: Session = Depends(session),  # noqa: B008
    ) -> JobAnswer:
        query = select(JobRow).where(JobRow.job_id == bytes.fromhex(job_id[2:]))
        row = database.scalars(query).one_or_none()
        if row is None or row.renter != caller:
            raise HTTPException(404)
        signed = json.loads(row.signed_order)
        return JobAnswer(
            job_id=job_id,
            lease_id=row.lease_id.hex(),
            state=row.state,
            detail=row.detail,
            order=signed["order"],
            spec=signed["spec"],
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    return app


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    # As an operator under load runs it; the peer writes no access log either.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    app = {"ours": ours, "peer": peer}[name](folder)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    asyncio.run(uvicorn.Server(server_config(app)).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
