"""What stands before pages and REST alike: who may connect, and as whom. Plain ASGI; knows no page and no route."""
