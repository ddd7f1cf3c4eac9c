"""What Streamlit's script knows at once, and would ask for otherwise: where the app is, and what it is like.

It asks below the page's address first, where there is nothing, then after a tenth of a second below the one above, and only
then it opens the websocket: a third of the time that a page took to load. The two values are made for hosts that know both
beforehand.
"""

import json
from functools import cache

import streamlit as st


@cache
def script() -> str:
    """Return what runs before Streamlit's own script: an inline one, as a file would be one request more.

    Where the app is follows from the page's address, which has one segment below it, whatever path a proxy serves it at.
    """
    config = {"allowedOrigins": list(st.get_option("client.allowedOrigins")), "useExternalAuthToken": False}
    config |= {"enableCustomParentMessages": False, "enforceDownloadInNewTab": False, "metricsUrl": ""}
    return (
        'window.__streamlit={BACKEND_BASE_URL:new URL(".",location.href).href,'
        f"HOST_CONFIG:{json.dumps(config).replace('<', chr(92) + 'u003c')}}}"
    )
