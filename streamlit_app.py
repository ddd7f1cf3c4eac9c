"""The whole app: `streamlit run streamlit_app.py`, or `uvicorn asgi:app`. Its pages' script is this file too.

Streamlit runs the script of a view under the name ``__main__``. Whoever serves it, also `streamlit run`, imports it for
:data:`app`: pages, REST and the middleware in front of both. So there is no way to serve the pages alone.
"""

import streamlit as st

if __name__ == "__main__":
    from ui.frame import draw

    draw()
else:
    from starlette.middleware import Middleware as Wrapped

    from api.app import mounted
    from api.effective import resolver
    from web import process, runs
    from web.middleware import Middleware

    process.prepare()
    app = st.App(
        __file__,
        lifespan=process.lifespan_with(resolver),
        routes=[mounted()],
        middleware=[Wrapped(Middleware)],
        on_script_error=runs.failed,
    )
