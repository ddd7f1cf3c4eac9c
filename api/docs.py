"""The description of the API, and the page that shows it: for admins, and from our own host alone."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import fastapi_offline
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from api.callers import Reader, admitted
from api.errors import Refused
from core.actors import Actor

router = APIRouter(include_in_schema=False)
Viewer = Annotated[Actor, admitted("rest.read", "admin", None)]

_FILES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_STATIC: Final = Path(fastapi_offline.__file__).parent / "static"
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LLM Settings: REST API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#ui", deepLinking: true, docExpansion: "list", defaultModelsExpandDepth: 0,
});
"""  # a file of its own: the content security policy lets no script run inside a page


@router.get("/openapi.json")
def openapi(request: Request, _actor: Reader) -> Response:
    """The description, OpenAPI 3.1."""
    described: dict[str, Any] = request.app.openapi()
    return Response(json.dumps(described), media_type="application/json")


@router.get("/docs")
def page(_actor: Viewer) -> Response:
    """The page."""
    return Response(_PAGE, media_type="text/html")


@router.get("/docs/{file}")
def part(_actor: Viewer, file: str) -> Response:
    """What the page loads."""
    if file == "start.js":
        return Response(_START, media_type="text/javascript")
    if file not in _FILES:
        raise Refused(404, "NOT_FOUND", "There is no such file.")
    return FileResponse(_STATIC / file, media_type=_FILES[file])
