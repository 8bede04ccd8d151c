"""The hardware beside the gateway: what moves a gate, and what it has to say."""
