"""Puts the routers together."""

from __future__ import annotations

from fastapi import FastAPI

from oracle.api import artifacts, errors, evidence, jobs, market, offers, quotes, worker_link
from oracle.api.services import Services


def build_application(services: Services) -> FastAPI:
    # No generated schema: bodies are checked by the readers of `protocol`, which it could not describe.
    app = FastAPI(
        title="GPGPU oracle", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.services = services
    errors.install(app)
    for room in (market, offers, quotes, artifacts, jobs, evidence, worker_link):
        app.include_router(room.router)
    return app
