"""Parts of the gateway together with real counterparts."""
