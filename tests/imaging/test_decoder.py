"""The decoding process: what it may cost, what it survives, and that nothing is lost on the way."""

import inspect
import os
import re
import signal
import struct
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

import hilum
from hilum.errors import InputError, LimitError, Reason, UsageError
from hilum.imaging import Decoder, Limits, example_path, read_radiograph
from hilum.imaging.reading import read_file
from hilum.records import Radiograph, View

SLOW = example_path().with_name("RG1_J2KR.dcm")  # JPEG 2000, half a second to decode
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the kernel's limits and /proc of Linux")


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as decoder:
        yield decoder


def child_of(decoder: Decoder) -> psutil.Process:
    return psutil.Process(decoder._child.process.pid)


def refusal(decoder: Decoder, path: Path | str) -> InputError:
    with pytest.raises(InputError) as caught:
        decoder.read(path)
    return caught.value


def equal(a: Radiograph, b: Radiograph) -> bool:
    others = [name for name in Radiograph.__dataclass_fields__ if name != "pixels"]
    return a.pixels.tobytes() == b.pixels.tobytes() and all(getattr(a, name) == getattr(b, name) for name in others)


def test_the_example(decoder):
    image = decoder.read(example_path())
    assert image.pixels.shape == (1955, 1841)
    assert image.view is View.PA
    assert image.inverted
    assert image.spacing_mm is None  # stored as 0\0
    assert image.bits_stored == 15
    assert image.body_part == "CHEST"
    assert image.source == str(example_path())
    assert image.warnings == ()


@pytest.mark.parametrize(("packed", "plain"), [("J2KR", "UNCR"), ("J2KI", "UNCI")])
@pytest.mark.parametrize("film", ["RG1", "RG3"])
def test_jpeg_2000_equals_its_uncompressed_twin(decoder, film, packed, plain):
    folder = example_path().parent
    first = decoder.read(folder / f"{film}_{packed}.dcm")
    second = decoder.read(folder / f"{film}_{plain}.dcm")
    assert first.pixels.tobytes() == second.pixels.tobytes()


def test_air_is_black_in_the_monochrome1_example(decoder):
    """Air fills the upper corners beside the neck; bone and mediastinum the middle."""
    pixels = decoder.read(example_path()).pixels
    middle = pixels[600:1400, 850:1000].mean()
    lung = pixels[350:600, 450:650].mean()
    assert pixels[:60, -60:].mean() < lung < middle


def test_process_and_function_agree_to_the_bit(decoder):
    direct = read_file(example_path(), Limits(), "name")
    for _ in range(2):
        assert equal(decoder.read(example_path(), source="name"), direct)


def test_one_shot_and_relative_paths(tmp_path, monkeypatch):
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    image = read_radiograph("a.png")
    assert image.source == "a.png"
    assert image.pixels.shape == (10, 12)


@pytest.mark.parametrize("name", ["größe 胸片.png", "-rf.png", "a\nb.png", "x" * 200 + ".png"])
def test_names_of_every_kind(decoder, tmp_path, name):
    path = tmp_path / name
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(path)
    assert decoder.read(path).source == str(path)


@linux
def test_a_name_that_is_no_text(decoder, tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xfe.png")
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(path, "PNG")
    assert decoder.read(path).width == 12


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, Reason.NOT_FOUND),
        (lambda p: p.mkdir(), Reason.NOT_A_FILE),
        (lambda p: p.touch(), Reason.EMPTY),
        (lambda p: os.mkfifo(p), Reason.NOT_A_FILE),
        (lambda p: p.symlink_to(p), Reason.NOT_FOUND),
        (lambda p: p.symlink_to("nowhere"), Reason.NOT_FOUND),
        (lambda p: p.write_text("Dear colleague"), Reason.UNKNOWN_FORMAT),
    ],
    ids=["missing", "folder", "empty", "pipe", "loop", "broken link", "text"],
)
def test_what_is_no_image(decoder, tmp_path, make, reason):
    make(tmp_path / "x.dcm")
    assert refusal(decoder, tmp_path / "x.dcm").code is reason


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, ""])
def test_names_that_no_file_can_have(decoder, name):
    assert refusal(decoder, name).code in (Reason.NOT_FOUND, Reason.NOT_A_FILE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(decoder, tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes(b"x")
    path.chmod(0)
    assert refusal(decoder, path).code is Reason.PERMISSION


def test_file_size_limit():
    with Decoder(Limits(max_file_bytes=1_000_000)) as decoder:
        assert refusal(decoder, example_path()).code is Reason.FILE_SIZE_LIMIT


def test_time_limit_and_what_comes_after():
    with Decoder(Limits(seconds=0.05)) as decoder:
        began = time.perf_counter()
        error = refusal(decoder, SLOW)
        assert error.code is Reason.TIME_LIMIT
        assert isinstance(error, LimitError)
        assert time.perf_counter() - began < 10
        assert refusal(decoder, SLOW).code is Reason.TIME_LIMIT
        assert refusal(decoder, "/nowhere").code is Reason.NOT_FOUND


def advised(error: InputError) -> str:
    """The limit that a message advises to raise, said so that it can be copied."""
    (name,) = re.findall(r"hilum\.read\(PATH, limits=hilum\.imaging\.Limits\((\w+)=\.\.\.\)\)", error.message)
    assert "limits" in inspect.signature(hilum.read).parameters
    assert name in Limits.__dataclass_fields__
    return name


def test_limits_say_how_to_raise_them(write_dicom, read):
    """`hilum read` has no option for them; Python does."""
    path = write_dicom(np.arange(120, dtype=np.uint8).reshape(10, 12))
    for name, file in (("max_file_bytes", path), ("max_pixels", path), ("seconds", SLOW)):
        with Decoder(Limits(**{name: 0.05 if name == "seconds" else 100})) as decoder:
            assert advised(refusal(decoder, file)) == name
    deflated = write_dicom(np.zeros((400, 400), np.uint8), DeflatedExplicitVRLittleEndian)
    with pytest.raises(InputError) as caught:
        read(deflated, allow_deflated=True, max_file_bytes=100_000)
    assert advised(caught.value) == "max_file_bytes"
    with pytest.raises(InputError, match="--allow-deflated"):
        read(deflated)


def test_lack_of_memory_says_how_to_give_more(write_dicom, read, ramp, monkeypatch):
    def hungry(*anything):
        raise MemoryError

    monkeypatch.setattr("hilum.imaging.reading.read_dicom", hungry)
    with pytest.raises(InputError) as caught:
        read(write_dicom(ramp))
    assert advised(caught.value) == "memory_bytes"


@pytest.fixture(scope="module")
def large(tmp_path_factory, write_dicom) -> Path:
    """32 MB of noise, uncompressed."""
    noise = np.random.default_rng(0).integers(0, 4096, (4000, 4000), np.uint16)
    return write_dicom(noise, BitsStored=12, HighBit=11).rename(tmp_path_factory.mktemp("large") / "large.dcm")


@linux
def test_memory_limit_and_what_comes_after(large):
    with Decoder() as decoder:
        decoder.read(example_path())
        idle = child_of(decoder).memory_info().vms
    with Decoder(Limits(memory_bytes=idle + 75_000_000)) as decoder:  # the example takes 50 MB more, the other 100
        before = psutil.Process().memory_info().rss
        for _ in range(2):
            error = refusal(decoder, large)
            assert error.code is Reason.MEMORY_LIMIT
            assert isinstance(error, LimitError)
        assert decoder.read(example_path()).width == 1841
        assert psutil.Process().memory_info().rss - before < 50_000_000
    with Decoder() as decoder:
        assert decoder.read(large).width == 4000


@linux
@pytest.mark.parametrize("deadly", [signal.SIGSEGV, signal.SIGKILL])
def test_a_decoder_that_dies_costs_one_file(deadly):
    with Decoder() as decoder:
        decoder.read(example_path())
        stop = threading.Event()

        def kill() -> None:
            # both the process at hand and the fresh one in which the verdict is sought
            killed = set()
            while not stop.wait(0.01):
                child = decoder._child
                if child is not None and child.ready and child.process.pid not in killed:
                    time.sleep(0.1)
                    os.kill(child.process.pid, deadly)
                    killed.add(child.process.pid)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            error = refusal(decoder, SLOW)
        finally:
            stop.set()
            killer.join()
        assert error.code is Reason.DECODER_CRASH
        assert decoder.read(example_path()).width == 1841


@linux
def test_one_death_alone_is_no_verdict():
    """A process may have been spoiled by an earlier file: the file gets a fresh one before it is blamed."""
    with Decoder() as decoder:
        decoder.read(example_path())
        pid = decoder._child.process.pid
        killer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
        killer.start()
        assert decoder.read(SLOW).width == 1841
        killer.join()
        assert decoder._child.process.pid != pid


def test_a_decoder_that_died_between_files_is_replaced(decoder):
    decoder.read(example_path())
    decoder._child.process.kill()
    decoder._child.process.wait()
    assert decoder.read(example_path()).width == 1841


def test_a_file_that_aborts_a_real_decoder(decoder, write_dicom):
    """GDCM 3.2.6 ends the process when no marker follows the frame header of a lossless JPEG."""
    frame = b"\xff\xd8" + struct.pack(">BBHBHHBBBB", 0xFF, 0xC3, 11, 12, 64, 80, 1, 1, 0x11, 0) + b"\x30" * 500
    sizes = {"Rows": 64, "Columns": 80, "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    path = write_dicom(encapsulate([frame + b"\xff\xd9"]), JPEGLosslessSV1, PixelRepresentation=0, **sizes)
    assert refusal(decoder, path).code in (Reason.DECODER_CRASH, Reason.CORRUPT_PIXELS)
    assert decoder.read(example_path()).width == 1841


@linux
def test_bombs_cost_nothing(decoder, write_dicom):
    decoder.read(example_path())
    before = psutil.Process().memory_info().rss
    huge = {"Rows": 65535, "Columns": 65535, "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
    header = struct.pack("<16L", 2, 64, 32_000, *[0] * 13)
    rle = encapsulate([header + b"\x81\0" * 32_000])
    for pixels, syntax, attributes, reason in (
        (rle, RLELossless, huge | {"PixelRepresentation": 0}, Reason.PIXEL_LIMIT),
        (np.zeros((5000, 5000), np.uint16), DeflatedExplicitVRLittleEndian, {}, Reason.DEFLATED),
    ):
        path = write_dicom(pixels, syntax, **attributes)
        began = time.perf_counter()
        assert refusal(decoder, path).code is reason
        assert time.perf_counter() - began < 20  # a bound against hanging, not a speed
    assert child_of(decoder).memory_info().rss < 300_000_000
    assert psutil.Process().memory_info().rss - before < 30_000_000


def segment(marker: int, data: bytes) -> bytes:
    """A marker segment of JPEG and JPEG 2000 alike."""
    return struct.pack(">HH", marker, len(data) + 2) + data


def jpeg_2000_of_nothing(side: int, code_block: int) -> bytes:
    """A valid JPEG 2000 codestream (ISO 15444-1 annex A) without a single coefficient.

    One tile, 5 levels, 6 empty packets of one zero byte each. The decoder makes its tables for every code block.
    Comments fill it up to the bytes that a picture of that size must have.

    Args:
        side: rows and columns, 16 bits.
        code_block: exponent of the side of a code block, less 2: 0 is 4 x 4, the smallest; encoders take 64 x 64.
    """
    size = segment(0xFF51, struct.pack(">H8LHBBB", 0, side, side, 0, 0, side, side, 0, 0, 1, 15, 1, 1))
    style = segment(0xFF52, struct.pack(">BBHBBBBBB", 0, 0, 1, 0, 5, code_block, code_block, 0, 1))
    quantisation = segment(0xFF5C, bytes([0x40, *[18 << 3] * 16]))
    tile = struct.pack(">HHHLBB", 0xFF90, 10, 0, 14 + 6, 0, 1) + b"\xff\x93" + bytes(6)
    return b"\xff\x4f" + size + style + quantisation + 2 * segment(0xFF64, bytes(65533)) + tile + b"\xff\xd9"


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG (ISO 10918-1 annex G) whose every scan says in some 90 bytes that no block has anything."""
    frame = segment(0xFFC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0))
    runs = -(-((side // 8) ** 2) // 32767)
    bits = ("0" + "1" * 14) * runs  # the code for a run of 2**14 + 14 bits of end-of-block
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    tables = segment(0xFFDB, bytes([0, *[1] * 64])) + segment(0xFFC4, bytes([0x10, 1, *[0] * 15, 0xE0]))
    scan = segment(0xFFDA, bytes([1, 1, 0, 1, 63, 0])) + coded
    return b"\xff\xd8" + tables + frame + scans * scan + b"\xff\xd9"


def rle_of_nothing(side: int) -> bytes:
    """An RLE frame (PS3.5 annex G) of 16-bit zeros, 128 of them in two bytes."""
    plane = b"\x81\0" * (side * side // 128)
    return struct.pack("<16L", 2, 64, 64 + len(plane), *[0] * 13) + plane + plane


@linux
@pytest.mark.parametrize(
    ("frame", "syntax", "bits", "limits", "reasons"),
    [
        # takes 2.2 GB where it may: 4 million code blocks; the decoder does not say that memory ran out
        (
            jpeg_2000_of_nothing(8192, 0),
            JPEG2000Lossless,
            16,
            Limits(),
            {Reason.MEMORY_LIMIT, Reason.CORRUPT_PIXELS},
        ),
        # 5 ms for each scan
        (jpeg_of_many_scans(8192, 20_000), JPEGBaseline8Bit, 8, Limits(seconds=2), {Reason.TIME_LIMIT}),
        # within the limits: as much memory as any picture of that size
        (rle_of_nothing(8192), RLELossless, 16, Limits(), {Reason.NO_CONTRAST}),
    ],
    ids=["memory", "time", "expansion"],
)
def test_bombs_of_a_size_that_is_allowed(write_dicom, frame, syntax, bits, limits, reasons):
    """Small files, valid in every byte, that pass all checks before decoding: only the limits of the process hold."""
    sizes = {"Rows": 8192, "Columns": 8192, "SamplesPerPixel": 1, "BitsAllocated": bits, "BitsStored": bits}
    path = write_dicom(encapsulate([frame]), syntax, HighBit=bits - 1, PixelRepresentation=0, **sizes)
    assert path.stat().st_size < 2_200_000
    before = psutil.Process().memory_info().rss
    with Decoder(limits) as decoder:
        began = time.perf_counter()
        assert refusal(decoder, path).code in reasons
        assert time.perf_counter() - began < 20  # a bound against hanging, not a speed
        assert decoder.read(example_path()).width == 1841
    assert psutil.Process().memory_info().rss - before < 60_000_000


@linux
def test_deep_nesting(decoder, tmp_path):
    """Sequences within sequences, 20,000 deep: Python's stack ends before the process does."""
    opening = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    (tmp_path / "deep.dcm").write_bytes(b"\0" * 128 + b"DICM" + meta + opening * 20_000)
    assert refusal(decoder, tmp_path / "deep.dcm").code in (Reason.CORRUPT_HEADER, Reason.DECODER_CRASH)
    assert decoder.read(example_path()).width == 1841


@linux
def test_the_process_is_confined(monkeypatch):
    import resource

    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    with Decoder(Limits(memory_bytes=700_000_000, seconds=9)) as decoder:
        decoder.read(example_path())
        child = child_of(decoder)
        assert b"secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()
        assert "torch" not in Path(f"/proc/{child.pid}/maps").read_text()
        assert resource.prlimit(child.pid, resource.RLIMIT_AS)[0] == 700_000_000
        assert resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[0] == 0
        assert resource.prlimit(child.pid, resource.RLIMIT_CORE)[0] == 0
        assert resource.prlimit(child.pid, resource.RLIMIT_CPU)[0] <= 9 + child.cpu_times().user + 3
        assert child.num_threads() == 1
        standard = {Path(f"/proc/{child.pid}/fd/{number}").readlink() for number in (0, 1, 2)}
        assert standard == {Path(os.devnull)}


@pytest.mark.skipif(os.name == "nt", reason="has no such limits")
@pytest.mark.parametrize("refused", [("RLIMIT_AS",), ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_FSIZE")])
@pytest.mark.parametrize("error", ["ValueError('current limit exceeds maximum limit')", "OSError(1, 'not permitted')"])
def test_a_limit_that_the_platform_refuses_is_left_out(tmp_path, monkeypatch, refused, error):
    """As macOS refuses RLIMIT_AS, with the ValueError (CPython issue 78783); the others hold all the same."""
    (tmp_path / "sitecustomize.py").write_text(
        "import resource\n"
        "setrlimit = resource.setrlimit\n"
        f"refused = [getattr(resource, name) for name in {refused}]\n"
        "def refusing(kind, limits):\n"
        "    if kind in refused:\n"
        f"        raise {error}\n"
        "    setrlimit(kind, limits)\n"
        "resource.setrlimit = refusing\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Decoder() as decoder:
        assert decoder.read(example_path()).width == 1841
        if sys.platform.startswith("linux"):
            import resource

            pid = child_of(decoder).pid
            for name in ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_FSIZE"):
                kind = getattr(resource, name)
                own, child = resource.getrlimit(kind)[0], resource.prlimit(pid, kind)[0]
                assert (child == own) if name in refused else (child != own or own == 0), name


@linux
def test_the_process_ends_with_its_parent():
    """Nothing is left when the parent is killed: the end of the pipe is the end of the child."""
    import subprocess

    script = (
        "import sys; from hilum.imaging import Decoder, example_path\n"
        "d = Decoder(); d.read(example_path()); print(d._child.process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()


@linux
def test_what_libraries_print_does_not_reach_the_protocol(tmp_path, monkeypatch):
    """A hook that writes to descriptors 1 and 2 at every import of pydicom stands in for chatty C code."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def noise(event, args):\n"
        "    if event == 'import' and args[0].startswith(('pydicom', 'PIL')):\n"
        "        os.write(1, b'noise' * 100); os.write(2, b'noise' * 100)\n"
        "sys.addaudithook(noise)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Decoder() as decoder:
        assert decoder.read(example_path()).width == 1841


def test_a_folder_of_a_module_s_name_in_the_current_directory(tmp_path, monkeypatch):
    """python-gdcm imports a module called dl, json is everyone's: neither may come from where the user stands."""
    for name in ("dl", "json", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('wrong module')")
    monkeypatch.chdir(tmp_path)
    assert read_radiograph(example_path()).width == 1841


def test_start_returns_at_once():
    began = time.perf_counter()
    decoder = Decoder()
    decoder.start()
    assert time.perf_counter() - began < 5  # a bound against waiting for the child, not a speed
    decoder.start()
    assert decoder.read(example_path()).width == 1841
    decoder.close()
    decoder.close()


def test_a_closed_decoder_starts_again():
    decoder = Decoder()
    decoder.read(example_path())
    decoder.close()
    assert decoder.read(example_path()).width == 1841
    decoder.close()


def test_threads_take_turns(decoder):
    whole = decoder.read(example_path())
    results: list[Radiograph] = []
    threads = [threading.Thread(target=lambda: results.append(decoder.read(example_path()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(equal(image, whole) for image in results)


@linux
def test_an_interrupt_leaves_no_half_answer(decoder):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    decoder.read(example_path())
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with pytest.raises(KeyboardInterrupt):
            decoder.read(SLOW)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert decoder.read(example_path()).bits_stored == 15


def test_a_process_that_cannot_start_says_so(monkeypatch, tmp_path):
    (tmp_path / "PIL.py").write_text("raise ImportError('broken', name='PIL')")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        error = refusal(Decoder(), example_path())
    assert error.code is Reason.DECODER_CRASH
    assert "PIL" in error.message
    monkeypatch.setattr(sys, "executable", sys.executable + "-that-is-not-there")
    with Decoder() as decoder:
        assert refusal(decoder, example_path()).code is Reason.DECODER_CRASH


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"max_pixels": -1}, {"memory_bytes": 0}, {"seconds": float("nan")}])
def test_limits_must_be_positive(wrong):
    with pytest.raises(UsageError):
        Limits(**wrong)


def test_this_process_never_loads_a_parser():
    """The parent stays light, and out of reach of what decoders do wrong."""
    import subprocess

    script = (
        "import sys; from hilum.imaging import Decoder, example_path, find_images, group_studies\n"
        "with Decoder() as d: group_studies([d.read(p) for p in find_images([example_path()])])\n"
        "print([n for n in ('pydicom', 'gdcm', 'PIL', 'openjpeg', 'torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
