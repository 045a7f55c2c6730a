"""The HTTP and WebSocket edge: thin routers that check who is asking, then call a room of the service."""
