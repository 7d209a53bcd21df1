"""The API's page for people: Swagger UI from a package, so that it works on a machine without the internet."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

from api.errors import unknown_route

router = APIRouter(include_in_schema=False)

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_CACHE = {"Cache-Control": "public, max-age=86400"}


@router.get("/docs")
async def page() -> HTMLResponse:
    """Swagger UI over /openapi.json; the key that is entered stays in the browser."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="OpenScrip API",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon.png",
        swagger_ui_parameters={"persistAuthorization": True, "docExpansion": "list", "defaultModelsExpandDepth": 0},
    )


@router.get("/docs/assets/{name}")
def asset(name: str) -> Response:
    """A file of Swagger UI."""
    if name not in _ASSETS:
        raise unknown_route(f"/docs/assets/{name}")
    content = files("fastapi_offline").joinpath("static", name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers=_CACHE)
