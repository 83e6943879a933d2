"""`/docs` and GraphiQL, with scripts from this server alone: the wheels that hold them are served, no CDN is asked."""

from __future__ import annotations

import html
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

_SCRIPTS = {
    "swagger": ("fastapi_offline", "static"),
    "graphiql": ("graphene_django_graphiql_static", "static/graphene_django_graphiql_static"),
}
"""Package and folder of the files below /static/<name>; the packages themselves are never imported."""

POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self'{more}; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_GRAPHIQL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>Headwater GraphiQL</title>
<style>html, body, #graphiql {{ height: 100%; margin: 0; }}</style>
<link rel="stylesheet" href="/static/graphiql/graphiql.min.css">
</head>
<body>
<div id="graphiql">The scripts of this page are not installed.</div>
<script src="/static/graphiql/react.production.min.js"></script>
<script src="/static/graphiql/react-dom.production.min.js"></script>
<script src="/static/graphiql/graphiql.min.js"></script>
<script src="/graphiql.js" data-query="{query}"></script>
</body>
</html>
"""
_START = """
const example = document.currentScript.dataset.query;
const fetcher = GraphiQL.createFetcher({url: '/graphql'});
ReactDOM.render(React.createElement(GraphiQL, {
  fetcher, defaultQuery: example, defaultHeaders: '{"Authorization": "Bearer hw_…"}', shouldPersistHeaders: false,
  isHeadersEditorEnabled: true,
}), document.getElementById('graphiql'));
"""
EXAMPLE = "{\n  datasets(first: 5) {\n    items { name label }\n  }\n}\n"


@cache
def folder(name: str) -> Path | None:
    """Where the files of these pages are; None where their package is not installed."""
    package, inside = _SCRIPTS[name]
    found = find_spec(package)
    path = Path(found.origin).parent / inside if found and found.origin else None
    return path if path and path.is_dir() else None


def add_pages(app: FastAPI) -> None:
    """The pages; anybody may open them, what they ask needs a key."""
    for name in _SCRIPTS:
        if (path := folder(name)) is not None:
            app.mount(f"/static/{name}", StaticFiles(directory=path), name=f"static-{name}")

    @app.get("/docs", include_in_schema=False)
    async def docs(_: Request) -> Response:
        """The API's description, to be tried out."""
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Headwater API",
            swagger_js_url="/static/swagger/swagger-ui-bundle.js",
            swagger_css_url="/static/swagger/swagger-ui.css",
            swagger_favicon_url="/static/swagger/favicon.png",
        )
        # Swagger's page starts itself by a script in the page.
        return _page(bytes(page.body).decode(), more=" 'unsafe-inline'")

    @app.get("/graphiql", include_in_schema=False)
    async def graphiql(_: Request) -> Response:
        """GraphiQL, with the header editor for a key."""
        return _page(_GRAPHIQL.format(query=html.escape(EXAMPLE, quote=True)), more=" 'unsafe-eval'")

    @app.get("/graphiql.js", include_in_schema=False)
    async def start(_: Request) -> Response:
        """What starts GraphiQL."""
        return Response(_START, media_type="text/javascript")


def _page(text: str, more: str) -> HTMLResponse:
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY.format(more=more)})
