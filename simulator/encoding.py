"""How a file of people is written: bytes to text, and the refusal of what is no CSV."""

import re

import charset_normalizer

MAX_BYTES = 32 * 1024 * 1024


class ContactsError(ValueError):
    """A list that cannot be read as it is; the message names the file, the place in it, and the cure."""


_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

_ZIP = b"PK\x03\x04"
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIPPED = (
    (b"xl/", "an Excel workbook (.xlsx)"),
    (b"opendocument.spreadsheet", "a LibreOffice workbook (.ods)"),
    (b".iwa", "a Numbers workbook (.numbers)"),
)
_MARKUP = re.compile(r"\s*<(!doctype|html|table|\?xml)", re.IGNORECASE)

_TEXT = bytes([*b"\t\n\v\f\r", *range(0x20, 0x100)])
_PUNCTUATION = bytes(range(0x80, 0xA0))


def decode(data: bytes, source: str) -> tuple[str, str]:
    """The text of a file, without its byte order mark, and the name of its encoding.

    A byte order mark decides, then UTF-8 wherever it is valid; what is neither is Windows-1252, or, where that makes
    no sense, what Excel's "CSV (MS-DOS)" or "CSV (Macintosh)" writes. Raises ContactsError for a workbook, for
    bytes that are no text, and over MAX_BYTES.
    """
    if len(data) > MAX_BYTES:
        raise ContactsError(
            f"{source} is larger than {MAX_BYTES // 1024**2} MiB, too much for one list: split it into several files"
        )
    if workbook := _workbook(data):
        raise ContactsError(f"{source} is {workbook}, not a CSV file: open it and save as CSV (in Excel: “CSV UTF-8”)")
    text, encoding = _decoded(data, source)
    if "\0" in text:
        raise _no_text(source)
    if _MARKUP.match(text):
        raise ContactsError(
            f"{source} is a web page or XML, whatever its name says: open it in a spreadsheet and save as CSV"
        )
    return text, encoding


def _workbook(data: bytes) -> str | None:
    if data.startswith(_OLE2):
        return "an old or password-protected Excel workbook (.xls)"
    if data.startswith(_ZIP):
        return next((kind for mark, kind in _ZIPPED if mark in data), "a zip archive")
    return None


def _decoded(data: bytes, source: str) -> tuple[str, str]:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            body = data[len(mark) :]
            try:
                return body.decode(encoding), encoding
            except UnicodeDecodeError as broken:
                line = body[: broken.start].decode(encoding).count("\n") + 1
                raise ContactsError(
                    f"{source} says it is {encoding.upper()}, but line {line} is not: it may be damaged or cut off;"
                    " save as CSV again"
                ) from None
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        encoding = _legacy(data, source)
        return data.decode(encoding), encoding


def _legacy(data: bytes, source: str) -> str:
    if data.translate(None, _TEXT):
        raise _no_text(source)
    if not data.translate(None, bytes(set(range(256)) - set(_PUNCTUATION))):
        # Without one of these bytes (punctuation in Windows-1252, the commonest letters elsewhere) there is no doubt.
        return "cp1252"
    # It rules out what reads too messily; its favourite among the rest is too often a wrong one for a list this short.
    readings = charset_normalizer.from_bytes(data, cp_isolation=["cp1252", "cp850", "mac_roman"])
    best = readings.best()
    if best is None:
        raise _no_text(source)
    return "cp1252" if any(reading.encoding == "cp1252" for reading in readings) else best.encoding


def _no_text(source: str) -> ContactsError:
    return ContactsError(f"{source} is not text: open it in the program it came from and save as CSV (UTF-8)")
