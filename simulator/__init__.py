"""The other side, for benches and tests: broker, cloud, contacts and virtual hardware."""


def version() -> str:
    """The version of the installed distribution; `0+source` for a bare checkout."""
    from importlib import metadata  # noqa: PLC0415 -- slow, and wanted by one option alone

    try:
        return metadata.version("fluss-gateway")
    except metadata.PackageNotFoundError:
        return "0+source"
