"""The app under the name that `make run` and services use: `uvicorn asgi:app`."""

from streamlit_app import app

__all__ = ["app"]
