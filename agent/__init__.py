"""The daemon: it receives invites, decides at the gate, and reports what became of both."""


def version() -> str:
    """The version of the installed distribution; `0+source` for a bare checkout."""
    from importlib import metadata  # noqa: PLC0415 -- 40 ms that a command which shows no version need not pay

    try:
        return metadata.version("fluss-gateway")
    except metadata.PackageNotFoundError:
        return "0+source"
