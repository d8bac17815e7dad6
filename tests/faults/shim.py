"""The other end of shim_fault.c: a shared page that says which call of a daemon fails."""
import ctypes
import errno
import mmap
import os

BUILD = os.environ.get("BUILD") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release")
OPS = ("", "pwrite", "writev", "write", "sync", "open", "rename", "alloc", "send", "map")     # in the order of shim_fault.c
# What each may fail with, as far as Linux or the C library can bring it about. 0: it is cut short.
ERRORS = {"pwrite": (errno.EIO, errno.ENOSPC, 0), "writev": (errno.EIO, errno.ENOSPC, 0), "write": (errno.EIO, errno.ENOSPC, 0), "sync": (errno.EIO, errno.ENOSPC),
          "open": (errno.EIO, errno.ENOSPC, errno.ENOMEM), "rename": (errno.EIO, errno.ENOSPC, errno.ENOMEM), "alloc": (errno.ENOMEM,),
          "send": (errno.EIO, errno.ENOMEM), "map": (errno.ENOMEM,)}


def name_of(error):
    return errno.errorcode[error] if error else "cut short"


class Page(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("op", "at", "times", "error", "cut", "lie", "fired", "calls")] + [("by", ctypes.c_char * 64)]


class Shim:
    """One for each daemon; it outlives the daemon's deaths."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, f"{name}.shim")
        with open(self.path, "wb") as f:
            f.write(bytes(mmap.PAGESIZE))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        self.page = Page.from_buffer(self.map)

    def environment(self):
        return {"LD_PRELOAD": os.path.join(BUILD, "test", "shim_fault.so"), "REENTRY_SHIM": self.path}

    def arm(self, op, at, error=errno.EIO, times=1, lie=False):
        """The call of that kind that is the at-th from now on fails."""
        page = self.page
        page.op = 0
        page.at, page.times, page.error, page.cut, page.lie, page.fired, page.calls, page.by = at, times, error, not error, lie, 0, 0, b""
        page.op = OPS.index(op)

    def disarm(self):
        """Whether it has failed, and how many calls of the kind there were."""
        self.page.op = 0
        return bool(self.page.fired), self.page.calls

    @property
    def fired(self):
        return bool(self.page.fired)

    @property
    def by(self):
        return self.page.by.decode()

    def where(self):
        try:
            with open(self.path + ".where", encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def close(self):
        self.page = None
        self.map.close()
