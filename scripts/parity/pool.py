"""Runs cases in forked children: one that crashes or hangs costs its case alone."""

import os
import pickle
import select
import signal
import struct
import sys
import traceback


def _serve(channel, cases, first, compare):
    """In the child: the outcome of each case, a length before each."""
    for n in range(first, len(cases)):
        try:
            outcome = compare(cases[n])
        except BaseException:  # a fault of the tool: tell it, do not hide it
            outcome = ("open", "the tool failed", traceback.format_exc(limit=4)[-600:], "")
        data = pickle.dumps(outcome)
        os.write(channel, struct.pack("<I", len(data)))
        view = memoryview(data)
        while view:
            view = view[os.write(channel, view):]


def _read(channel, count, timeout):
    """`count` bytes; None at the end, "hang" when nothing came in time."""
    data = b""
    while len(data) < count:
        if not select.select([channel], [], [], timeout)[0]:
            return "hang"
        piece = os.read(channel, count - len(data))
        if not piece:
            return None
        data += piece
    return data


def _start(cases, first, compare):
    parent, child = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(child)
        return pid, parent
    os.close(parent)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        _serve(child, cases, first, compare)
    finally:
        os._exit(0)


def outcomes(cases, compare, timeout=30):
    """Yields the outcome of every case, in order."""
    done = 0
    while done < len(cases):
        pid, channel = _start(cases, done, compare)
        while done < len(cases):
            head = _read(channel, 4, timeout)
            data = _read(channel, struct.unpack("<I", head)[0], timeout) if isinstance(
                head, bytes) else head
            if not isinstance(data, bytes):
                break
            yield pickle.loads(data)
            done += 1
        else:
            os.waitpid(pid, 0)
            os.close(channel)
            return
        if data == "hang":
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(channel)
        code = os.waitstatus_to_exitcode(status)
        words = f"HANG: nothing in {timeout} s" if data == "hang" else (
            f"CRASH: {signal.Signals(-code).name}" if code < 0 else f"CRASH: exit code {code}")
        yield "open", words, "", ""
        done += 1
