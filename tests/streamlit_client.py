"""A client of Streamlit's websocket: what a browser's page does there, and what an attacker's script can."""

import http.client
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Block_pb2 import Block
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

STREAM = "/_stcore/stream"
NO_TOKEN = "no-xsrf-token"
SECONDS = 20.0

_Path = tuple[int, ...]


class Widget:
    """A widget that was drawn: its id, and its message (``Button``, ``TextInput``, …)."""

    def __init__(self, kind: str, message: Any) -> None:
        self.kind = kind
        self.message = message
        self.id: str = message.id

    @property
    def key(self) -> str:
        """The key that the page gave it: Streamlit's ids end with it."""
        return self.id.removeprefix("$$ID-").partition("-")[2]

    @property
    def value(self) -> Any:
        """What the page has set it to."""
        if self.kind in {"button_group", "multiselect"}:
            return list(self.message.raw_values)
        if self.kind == "selectbox":
            return self.message.raw_value
        if self.kind == "date_input":
            return list(self.message.value)
        return self.message.value[0] if self.kind == "slider" else self.message.value

    def state(self, value: Any) -> WidgetState:
        """What a browser sends when somebody uses it: for buttons *value* is not looked at."""
        state = WidgetState(id=self.id)
        if self.kind in {"button", "download_button"}:
            state.trigger_value = True
        elif self.kind == "menu_button":
            state.string_trigger_value.data = value
        elif self.kind == "checkbox":
            state.bool_value = value
        elif self.kind in {"button_group", "multiselect", "date_input"}:
            state.string_array_value.data.extend([value] if isinstance(value, str) else value)
        elif self.kind == "slider":
            state.double_array_value.data.append(value)
        elif self.kind == "number_input":
            state.double_value = value
        elif self.kind == "pagination":
            state.int_value = value
        else:
            state.string_value = value
        return state


class Client:
    """One websocket, and what its page shows."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.session_id = ""
        self.pages: dict[str, str] = {}
        """Title -> hash, of the pages that Streamlit says there are."""
        self.not_found = False
        """Whether the last run said that there is no such page."""
        self.page = ""
        """The hash of the page that was drawn."""
        self.query = ""
        """Of the page's address, which the page itself may set."""
        self.frames: list[bytes] = []
        self._drawn: dict[_Path, Element | Block] = {}
        self._fragments: dict[_Path, str] = {}
        self._typed: dict[str, WidgetState] = {}

    # What is on the page.

    def widgets(self) -> Iterator[Widget]:
        """All widgets that are drawn."""
        for element in list(self._drawn.values()):
            if isinstance(element, Element) and (kind := element.WhichOneof("type")):
                message = getattr(element, kind)
                if getattr(message, "id", ""):
                    yield Widget(kind, message)

    def find(self, key: str) -> Widget | None:
        """The widget with a key, or else with a label; None if there is none."""
        found = list(self.widgets())
        by_key = [widget for widget in found if widget.key == key]
        by_label = [widget for widget in found if getattr(widget.message, "label", "") == key]
        return next(iter(by_key or by_label), None)

    def widget(self, key: str) -> Widget:
        """The widget with a key, or else with a label."""
        found = self.find(key)
        assert found is not None, f"no {key!r} among {self.keys()}; it says {self.texts()}"
        return found

    def keys(self) -> list[str]:
        """The keys of the widgets; of one without key its label."""
        return [w.key if w.key != "None" else str(getattr(w.message, "label", w.kind)) for w in self.widgets()]

    def elements(self, kind: str) -> list[Any]:
        """The messages of all elements of a kind: ``heading``, ``alert``, ``html``, …"""
        drawn = (e for e in self._drawn.values() if isinstance(e, Element))
        return [getattr(element, kind) for element in drawn if element.WhichOneof("type") == kind]

    def texts(self) -> list[str]:
        """All that is said: headings, alerts, Markdown."""
        return [
            str(getattr(getattr(e, kind), "body", ""))
            for e in self._drawn.values()
            if isinstance(e, Element) and (kind := e.WhichOneof("type")) in {"heading", "alert", "markdown", "text"}
        ]

    def titles(self) -> list[str]:
        """The page's titles."""
        return [heading.body for heading in self.elements("heading") if heading.tag == "h1"]

    def alerts(self) -> list[str]:
        """Errors, warnings and notices."""
        return [alert.body for alert in self.elements("alert")]

    def ticket(self) -> str | None:
        """The one-time ticket, after the right password."""
        found = [re.search(r'data-ticket="([^"]+)"', html.body) for html in self.elements("html")]
        return next((match[1] for match in found if match), None)

    def fragment_of(self, key: str) -> str:
        """The fragment that has drawn a widget: a dialog is one."""
        wanted = self.widget(key).id
        for path, element in self._drawn.items():
            kind = element.WhichOneof("type") if isinstance(element, Element) else None
            if kind and getattr(getattr(element, kind), "id", "") == wanted:
                return self._fragments.get(path, "")
        return ""

    # What a person does, and what only a script can.

    def open(self, page_name: str = "") -> "Client":
        """Ask for a page by its path, as a browser does first."""
        return self.rerun(page_script_hash="", page_name=page_name)

    def go(self, title: str) -> "Client":
        """Choose a page in the menu."""
        return self.rerun(page_script_hash=self.pages[title])

    def back(self, title: str, query: str) -> "Client":
        """Come to a page by Back: the browser has its address, and sends nothing that was typed on the page that is left."""
        self.query = query
        self._typed.clear()
        message = BackMsg()
        message.rerun_script.page_script_hash = self.pages[title]
        message.rerun_script.query_string = query
        message.rerun_script.is_history_navigation = True
        self.send(message)
        return self.settle()

    def forget(self) -> "Client":
        """Send no more of what was typed or forged: one value of a wrong type ends every run that it comes with."""
        self._typed.clear()
        return self

    def click(self, key: str) -> "Client":
        """Press a button, in its fragment where it has one."""
        return self.use(key, value=True)

    def pick(self, key: str, words: str) -> "Client":
        """Choose in a menu the line that ends with *words*."""
        return self.use(key, next(option for option in self.widget(key).message.options if option.endswith(words)))

    def use(self, key: str, value: Any) -> "Client":
        """Press, choose or type, as a browser does: in the widget's fragment where it has one."""
        return self.rerun(self.widget(key).state(value), fragment_id=self.fragment_of(key))

    def type(self, key: str, value: Any) -> None:
        """Type without leaving the field: sent with the next click."""
        state = self.widget(key).state(value)
        self._typed[state.id] = state

    def rerun(
        self,
        *states: WidgetState,
        page_script_hash: str | None = None,
        page_name: str = "",
        fragment_id: str = "",
        wait: bool = True,
    ) -> "Client":
        """Send a rerun with these widget states beside those of before, and wait until the page is drawn."""
        for state in states:
            self._typed[state.id] = state
        message = BackMsg()
        message.rerun_script.page_script_hash = self.page if page_script_hash is None else page_script_hash
        message.rerun_script.page_name = page_name
        message.rerun_script.query_string = self.query if page_script_hash is None else ""
        message.rerun_script.fragment_id = fragment_id
        message.rerun_script.widget_states.widgets.extend(self._typed.values())
        self._typed = {i: s for i, s in self._typed.items() if not str(s.WhichOneof("value")).endswith("trigger_value")}
        self.not_found = False
        self.send(message)
        return self.settle() if wait else self

    def force(self, *states: WidgetState, page_script_hash: str | None = None, fragment_id: str = "") -> "Client":
        """As :meth:`rerun`, of a fragment that may be gone: Streamlit then drops the message without an answer.

        Whether it does is decided once it answers the next message; a run that it lets begin says so within half a second.
        """
        self.rerun(*states, page_script_hash=page_script_hash, fragment_id=fragment_id, wait=False)
        with suppress(TimeoutError):
            if fragment_id:
                question = BackMsg()
                question.file_urls_request.SetInParent()
                self.send(question)
                kinds = {""}
                while "file_urls_response" not in kinds:
                    kinds.add(str(self.receive().WhichOneof("type")))
                if "script_finished" in kinds:
                    return self
            self.settle(0.5 if fragment_id else SECONDS)
        return self

    def send(self, message: BackMsg) -> None:
        """Send any message."""
        self.connection.send(message.SerializeToString())

    def settle(self, seconds: float = SECONDS) -> "Client":
        """Read until the run is over, and those that it asked for."""
        while True:
            message = self.receive(seconds)
            if message.WhichOneof("type") == "script_finished" and message.script_finished != (
                ForwardMsg.FINISHED_EARLY_FOR_RERUN
            ):
                return self

    def receive(self, seconds: float = SECONDS) -> ForwardMsg:
        """Read one message, and take in what it draws."""
        frame = self.connection.recv(seconds)
        assert isinstance(frame, bytes)
        self.frames.append(frame)
        message = ForwardMsg()
        message.ParseFromString(frame)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.session_id = message.new_session.initialize.session_id or self.session_id
            self.page = message.new_session.page_script_hash
            self._note_pages(message.new_session.app_pages)
            if not message.metadata.run.fragment_ids:
                self._drawn.clear()
                self._fragments.clear()
        elif kind == "navigation":
            self.page = message.navigation.page_script_hash
            self._note_pages(message.navigation.app_pages)
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "page_not_found":
            self.not_found = True
        elif kind == "delta":
            self._draw(tuple(message.metadata.delta_path), message)
        return message

    def closed(self, seconds: float = SECONDS) -> int:
        """Read until the server closes the socket; returns the code, 1006 where it just went away."""
        try:
            while True:
                self.receive(seconds)
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 1006

    def _note_pages(self, pages: Any) -> None:
        self.pages = {page.page_name: page.page_script_hash for page in pages if not page.is_hidden}

    def _draw(self, path: _Path, message: ForwardMsg) -> None:
        for deeper in [p for p in self._drawn if len(p) > len(path) and p[: len(path)] == path]:
            del self._drawn[deeper]
        delta = message.delta
        drawn = delta.new_element if delta.WhichOneof("type") == "new_element" else delta.add_block
        self._drawn[path] = drawn
        self._fragments[path] = delta.fragment_id
        kind = drawn.WhichOneof("type") if isinstance(drawn, Element) else None
        if kind and getattr(
            getattr(drawn, kind), "set_value", False
        ):  # the page has set it, in place of what was typed
            widget = Widget(kind, getattr(drawn, kind))
            self._typed[widget.id] = widget.state(widget.value)


def client_socket(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection to the app from an address of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0))


@contextmanager
def streamlit_client(
    port: int,
    *,
    cookie: str | bytes | None = None,
    session_id: str | None = None,
    origin: str | None = "",
    source: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
) -> Iterator[Client]:
    """A websocket as a browser opens it, until leaving.

    Args:
        port: Of the app on 127.0.0.1.
        cookie: The whole Cookie header.
        session_id: Of the Streamlit session to go on with.
        origin: The page's; "" for the app's own, None for no Origin.
        source: The client's address.
        headers: More headers.
    """
    protocols = ["streamlit", NO_TOKEN, *([session_id] if session_id else [])]
    more = dict(headers or {})
    if cookie is not None:
        more["Cookie"] = cookie.decode("latin-1") if isinstance(cookie, bytes) else cookie
    with connect(
        f"ws://127.0.0.1:{port}{STREAM}",
        sock=client_socket(port, source),
        origin=Origin(origin or f"http://127.0.0.1:{port}") if origin is not None else None,
        subprotocols=[Subprotocol(p) for p in protocols],
        additional_headers=more,
        max_size=None,
        open_timeout=SECONDS,
        close_timeout=2,
        proxy=None,
    ) as connection:
        yield Client(connection)


def raw(port: int, head: bytes, body: bytes = b"", source: str = "127.0.0.1") -> tuple[int, str, bytes]:
    """Send a request as it stands, byte for byte; returns the status, the headers as text, and the body."""
    with client_socket(port, source) as connection:
        connection.sendall(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection, method=head.partition(b" ")[0].decode())
        try:
            answer.begin()
        except http.client.BadStatusLine:
            return 0, "", b""
        status = answer.status
        text = "\n".join(f"{name.lower()}: {value}" for name, value in answer.getheaders())
        return status, text, b"" if status == http.HTTPStatus.SWITCHING_PROTOCOLS else answer.read()


def handshake(port: int, lines: bytes, source: str = "127.0.0.1") -> int:
    """Open a websocket with these header lines, Host among them, and return the status: 101 when it was let in."""
    head = b"GET " + STREAM.encode() + b" HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\nSec-WebSocket-Protocol: streamlit\n"
    return raw(port, head + key + lines, source=source)[0]
