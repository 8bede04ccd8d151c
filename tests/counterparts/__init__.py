"""What the gateway talks to: a real broker, a link that fails on command, certificates."""
