"""The Redis protocol without sockets: bytes to commands, commands to operations, replies to bytes.
Replies and error texts are Redis's own."""
