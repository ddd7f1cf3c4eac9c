"""How a vendor is called: its SDK, the network, and the request log's writer."""
