"""Puts the routers together."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from oracle.api import (
    artifacts,
    description,
    errors,
    evidence,
    jobs,
    market,
    offers,
    operations,
    queue,
    quorum,
    quotes,
    sessions,
    streams,
    uploads,
    worker_link,
)
from oracle.api.edge import Edge
from oracle.api.services import Services

ROOMS = (
    *(operations, market, offers, quotes, sessions),
    *(artifacts, uploads, jobs, queue, streams, evidence, quorum, worker_link),
)


class Application(FastAPI):
    """Bodies are read by the readers of `protocol`; what they take is told by `description`."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = description.describe(self)
        return self.openapi_schema


def build_application(services: Services) -> FastAPI:
    app = Application(
        title="GPGPU oracle",
        version="1",
        openapi_url=description.PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    errors.install(app)
    for room in ROOMS:
        app.include_router(room.router)
    app.add_middleware(Edge, services=services)
    return app
