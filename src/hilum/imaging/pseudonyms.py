"""Keyed pseudonyms: one key gives one patient, study or image the same new name wherever and whenever it occurs.

Every pseudonym is an HMAC-SHA256 (RFC 2104) of its purpose and the original. Without the key none can be recomputed
from a guessed original, which a plain hash allows: patient numbers are few and short. With the key they are linked
again, so the key is as confidential as the images themselves. Its file holds the key's bytes and nothing else.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pydicom._uid_dict import UID_dictionary

from hilum.errors import UsageError
from hilum.imaging.filetypes import HEAD_BYTES, file_kind

MIN_KEY_BYTES = 16
"""128 bits, as many as a UID of the form 2.25 has: a shorter key is the easier thing to guess."""

MAX_KEY_BYTES = 4096
"""More is no key but a file given by mistake, and would not fit into what is sent to the decoding process."""

KEY_FILE_BYTES = 32
"""What a key in a file has at least, and one that we make has exactly: as many as SHA-256 gives."""

_FEWEST_DISTINCT_BYTES = 8
"""Random bytes repeat themselves less: 32 of them have fewer different values once in 10^37, 32 hexadecimal digits once
in 10^7."""

LARGEST_SHIFT_DAYS = 3650
"""Dates move by 1 to this many days, forward or back: enough to hide the year."""

_SHORT_STRING = 16
"""Characters that the VR SH holds (PS3.5 section 6.2): Accession Number and Study ID."""

_DATE_TIME = re.compile(
    r"(\d{4})\.?(\d\d)\.?(\d\d)((?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?)?([+-](?:0\d|1[0-4])[0-5]\d)?"
)
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a file is of, as far as it says.

    Attributes:
        patient_id: Patient ID (0010,0020); empty where the file has none.
        issuer: Issuer of Patient ID (0010,0021): the same number of two issuers is two patients.
        study: what stands in where there is no Patient ID, a Study Instance UID: then each study is a patient.
    """

    patient_id: str
    issuer: str = ""
    study: str = ""

    @property
    def text(self) -> str:
        """One string for it, different for each."""
        if self.patient_id:
            return "\0".join(("patient", self.issuer, self.patient_id))
        return f"study\0{self.study}"


class Pseudonyms:
    """The map from originals to pseudonyms that one key makes.

    Args:
        key: at least 16 random bytes, such as `secrets.token_bytes(32)`. Give each hospital its own key where their
            patient numbers could coincide.

    Raises:
        UsageError: the key is too short, or too long to be one.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise UsageError(
                f"The key has {len(key)} bytes; at least {MIN_KEY_BYTES} random ones are needed. Make one with "
                "secrets.token_bytes(32) in Python, and keep it as confidential as the images."
            )
        if len(key) > MAX_KEY_BYTES:
            raise UsageError(f"The key has {len(key)} bytes; expected {MIN_KEY_BYTES} to {MAX_KEY_BYTES} random ones.")
        self._key = key

    @property
    def key_check(self) -> str:
        """64 hexadecimal digits that tell two keys apart, and from which neither can be computed."""
        return self._digest("key check", "").hex()

    def patient(self, who: Identity) -> str:
        """The Patient ID to write, and the Patient's Name: P and 20 letters or digits."""
        return "P" + self._letters("patient", who.text, 20)

    def accession_number(self, original: str) -> str:
        """The Accession Number to write, of 16 characters."""
        return "A" + self._letters("accession", original, _SHORT_STRING - 1)

    def study_id(self, original: str) -> str:
        """The Study ID to write, of 16 characters."""
        return "S" + self._letters("study id", original, _SHORT_STRING - 1)

    def uid(self, original: str) -> str:
        """The UID to write: one that DICOM registers stays (a class, a transfer syntax), any other becomes 2.25.N.

        N is a UUID made of the HMAC (PS3.5 section B.2; version 8, RFC 9562 section 5.8): 122 bits of it.
        """
        if original in UID_dictionary:
            return original
        bits = int.from_bytes(self._digest("uid", original)[:16], "big")
        bits = bits & ~(0xF << 76) | 0x8 << 76
        bits = bits & ~(0x3 << 62) | 0x2 << 62
        return f"2.25.{bits}"

    def days(self, who: Identity) -> int:
        """By how many days the dates of this patient move: never 0, at most `LARGEST_SHIFT_DAYS` either way."""
        place = int.from_bytes(self._digest("days", who.text)[:8], "big") % (2 * LARGEST_SHIFT_DAYS)
        return place - LARGEST_SHIFT_DAYS if place < LARGEST_SHIFT_DAYS else place - LARGEST_SHIFT_DAYS + 1

    def _letters(self, purpose: str, original: str, count: int) -> str:
        return base64.b32encode(self._digest(purpose, original)).decode("ascii")[:count]

    def _digest(self, purpose: str, original: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}\0{original}".encode("utf-8", "surrogatepass"), "sha256")


def read_key(path: Path) -> bytes:
    """The key in a file.

    Raises:
        UsageError: it cannot be read, or what it holds is no key: too short, too long, of few different bytes, text of
            several words, an image.
    """
    try:
        # looked at before it is opened: a device may never end, and a pipe waits for whoever writes into it
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"The key {path} is no regular file; expected a file of {KEY_FILE_BYTES} random bytes.")
        with path.open("rb") as file:
            key = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise UsageError(f"The key {path} cannot be read ({error.strerror}).") from None
    if fault := _fault(key):
        # not by its name: it may be one of the originals
        raise UsageError(f"The file given as key {fault}. `hilum corpus deidentify` makes one with --make-key.")
    return key


def _fault(key: bytes) -> str | None:
    """Why the content of a file is no key."""
    expected = f"expected {KEY_FILE_BYTES} random ones"
    if len(key) > MAX_KEY_BYTES:
        return f"is larger than {MAX_KEY_BYTES} bytes; {expected}"
    if len(key) < KEY_FILE_BYTES:
        return f"has {len(key)} bytes; at least {KEY_FILE_BYTES} are needed"
    if len(set(key)) < _FEWEST_DISTINCT_BYTES:
        return f"repeats a few bytes; {expected}"
    if len(key) == KEY_FILE_BYTES:  # as ours, which may look like anything by chance; hardly a file is as short
        return None
    if kind := file_kind(key[:HEAD_BYTES]):
        return f"is {kind.value}, not a few bytes; {expected}"
    with suppress(UnicodeDecodeError):
        # a key that is written out in digits or letters has lines, no words
        if re.search(r"\S[^\S\n]+\S|,", key.decode("utf-8")):
            return f"is text, not bytes drawn at random; {expected}"
    return None


def check_new_key(path: Path) -> None:
    """Refuse a place for a new key before work is done for it.

    Raises:
        UsageError: something is there, or its folder is not, or nothing can be written into that.
    """
    if os.path.lexists(path):
        raise _exists()
    try:
        there = path.parent.is_dir()
    except OSError as error:  # it lies in a folder that may not be entered
        raise UsageError(f"The key {path} cannot be written ({error.strerror}).") from None
    if not there:
        raise UsageError(f"No such folder for the key {path}; make it first.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"The key {path} cannot be written (Permission denied).")


def write_key(path: Path, key: bytes) -> None:
    """Write a new key into a file that only its owner may read.

    Raises:
        UsageError: something is there, even a link that leads nowhere, or it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(handle)
        except BaseException:  # half a key must not be found and used
            path.unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise _exists() from None
    except OSError as error:
        raise UsageError(f"The key {path} cannot be written ({error.strerror}).") from None


def _exists() -> UsageError:
    return UsageError("The file for the new key exists; a key is never written over. If it is one, give it as --key.")


def shifted_date(value: str, days: int) -> str | None:
    """A DA value (PS3.5 section 6.2; dotted as in ACR-NEMA too) moved by whole days; None where it is none."""
    return shifted_datetime(value, days) if re.fullmatch(r"\d{8}|\d{4}\.\d\d\.\d\d", value) else None


def shifted_datetime(value: str, days: int) -> str | None:
    """A DT value moved by whole days: its time of day, fraction and zone stay.

    Returns:
        None where it is no DT value, where it names no day (2019, 201905), or where the result leaves the calendar.
    """
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        return None
    year, month, day, time, zone = match.groups(default="")
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}{time}{zone}"


def time_of_day(value: str) -> str | None:
    """A TM value (with colons as in ACR-NEMA too) as it is today; None where it is none."""
    plain = value.replace(":", "")
    return plain if _TIME.fullmatch(plain) else None
