"""Codes held up to a camera: QR codes in the frames of a device, or of a video that stands for one. Needs the extra p2pcopy[scan].

PyAV reads the frames: video4linux2 on Linux, AVFoundation on macOS, DirectShow on Windows; and any video file, FIFO or URL.
"""

from __future__ import annotations

import asyncio
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from p2pcopy.errors import InternalError, LocalFileError, P2PCopyError, UsageError
from p2pcopy.signaling import pictures
from p2pcopy.signaling.exchange import in_thread

if TYPE_CHECKING:
    from PIL.Image import Image

END_S: Final = 2.0
_FORMATS: Final = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
# AVFoundation wants a rate that the camera has, and its own default is one that few have.
_OPTIONS: Final[dict[str, tuple[dict[str, str], ...]]] = {"avfoundation": ({"framerate": "30"}, {})}
_WITHOUT: Final = "Connect one, name it with --camera, or give the code as text."


class Camera:
    """A LineSource: the codes that are seen, each of them once. Other QR codes in view are passed over.

    name: part of a camera's name, a device, its number, a video file, FIFO or URL; "" for the first camera.
    on_open: gets the name of the camera once it is open, from within next_line(). It is opened when a code is wanted, and
    again after close().
    """

    def __init__(self, name: str, on_open: Callable[[str], None]) -> None:
        self._name = name
        self._on_open = on_open
        self._news: asyncio.Queue[_News] = asyncio.Queue()
        self._told: set[str] = set()
        self._stopped = threading.Event()
        self._thread: Future[None] | None = None
        self._ended = False

    async def next_line(self) -> str | None:
        """See LineSource; None when the video is over.

        Raises UsageError without the extra, LocalFileError for a camera that is not there or cannot be used.
        """
        if self._thread is None:
            pictures.require_reader()
            _require_pyav()
            self._thread = self._start(asyncio.get_running_loop())
        while not self._ended:
            match await self._news.get():
                case _Opened(name):
                    self._on_open(name)
                case str(code):
                    if code not in self._told:
                        self._told.add(code)
                        return code
                case None:
                    self._ended = True
                case error:
                    self._ended = True
                    raise error
        return None

    async def close(self) -> None:
        """The camera is released. Waits for it, but not for a FIFO to which nobody writes."""
        self._stopped.set()
        if self._thread is not None:
            await asyncio.wait([asyncio.wrap_future(self._thread)], timeout=END_S)
            self._thread = None

    def _start(self, loop: asyncio.AbstractEventLoop) -> Future[None]:
        news = self._news = asyncio.Queue()
        stopped = self._stopped = threading.Event()

        def report(what: _News) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(news.put_nowait, what)

        return in_thread(lambda: self._watch(report, stopped))

    def _watch(self, report: Callable[[_News], None], stopped: threading.Event) -> None:
        """In the thread."""
        seen: set[str] = set()
        try:
            for frame, picture in enumerate(_frames(self._name, report)):
                if stopped.is_set():
                    return
                codes = filter(pictures.is_code, pictures.codes_in(picture, frame % pictures.WAYS))
                for code in set(codes) - seen:
                    seen.add(code)
                    report(code)
        except P2PCopyError as error:
            report(error)
        except Exception as error:  # noqa: BLE001  whoever waits for a code gets it
            report(InternalError.from_defect(error))
        report(None)


class _Opened:
    __match_args__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_News = str | _Opened | P2PCopyError | None


def _require_pyav() -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "scanning needs PyAV, which cannot be loaded",
            'Install it with pip install "p2pcopy[scan]" (with pipx: pipx inject p2pcopy av), or give the code as text.',
        ) from error


def _frames(name: str, report: Callable[[_Opened], None]) -> Iterator[Image]:
    """Blocking. In shades of grey. Raises LocalFileError."""
    import av
    import PIL.Image

    shown, source = name, name
    try:
        if _is_video(name):
            container = av.open(name)
        else:
            shown, source = _find(name)
            container = _open(source)
        with container:
            report(_Opened(shown))
            for frame in container.decode(video=0):
                grey = frame.reformat(format="gray")
                plane = grey.planes[0]
                size = (grey.width, grey.height)
                yield PIL.Image.frombuffer("L", size, bytes(plane), "raw", "L", plane.line_size, 1)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:  # IndexError: there is no video in it
        reason = getattr(error, "strerror", None) or "it gives no pictures"
        raise LocalFileError(f"the camera {shown!r} cannot be used: {reason}", _WITHOUT) from error


def _is_video(name: str) -> bool:
    """A file, FIFO or URL, and not a device."""
    with suppress(OSError, ValueError):
        return not stat.S_ISCHR(Path(name).stat().st_mode) if name else False
    return "://" in name


def _open(device: str) -> Any:
    import av

    system = _format()
    *attempts, last = _OPTIONS.get(system, ({},))
    for options in attempts:
        with suppress(av.FFmpegError):
            return av.open(device, format=system, options=options)
    return av.open(device, format=system, options=last)


def _find(name: str) -> tuple[str, str]:
    """What people call the camera of this name, and what PyAV does; a name that no camera has is taken as it is."""
    system = _format()
    cameras = _cameras(system)
    if not name:
        if not cameras:
            raise LocalFileError("there is no camera", _WITHOUT)
        shown, device = cameras[0]
    else:
        wanted = [each for each in cameras if name in each] or [
            each for each in cameras if name.casefold() in each[0].casefold()
        ]
        shown, device = wanted[0] if wanted else (name, name)
    if system == "v4l2" and device.isdecimal():
        device = f"/dev/video{device}"
    if system == "dshow" and not device.startswith("video="):
        device = f"video={device}"
    return shown, device


def _format() -> str:
    if sys.platform not in _FORMATS:
        raise LocalFileError("cameras are not supported on this system", "Give the code as text or as a picture.")
    return _FORMATS[sys.platform]


def _cameras(system: str) -> list[tuple[str, str]]:
    """What people call each camera, and what PyAV does. Old versions of PyAV cannot list them."""
    import av

    list_them = getattr(av, "enumerate_input_devices", None)
    found = [] if list_them is None else list_them(system)
    cameras = [
        (each.description or each.name, each.name) for each in found if "video" in (each.media_types or ["video"])
    ]
    if not cameras and system == "v4l2":
        return [(str(path), str(path)) for path in sorted(Path("/dev").glob("video*"))]
    return cameras or ([("the default camera", "0")] if list_them is None and system == "avfoundation" else [])
