"""The pages that describe the API, which `DOCS_ENABLED=false` takes away."""

from fastapi import FastAPI


def remove_docs(app: FastAPI) -> None:
    """Make the description and its pages answer 404."""
    paths = {app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url}
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", None) not in paths
    ]
