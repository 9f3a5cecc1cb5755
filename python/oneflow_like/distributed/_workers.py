"""The launcher's supervision of worker processes: output, failures, signals, clean ends.

One thread, one selector: pipes and process file descriptors are its events, so no ordering between
threads can lose a line or an exit status. Linux only (pidfd, PR_SET_PDEATHSIG).
"""

import collections
import ctypes
import errno
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

EXIT_USAGE = 64
EXIT_CANNOT_START = 127

# A failed rank's peers get SIGTERM, and SIGKILL after this or FAILURE_SECONDS after the failure,
# whichever comes first: everything is gone within 5 s.
FAILURE_GRACE_SECONDS = 3.0
FAILURE_SECONDS = 4.5
# How long a rank that others blame for their failure may take to end before everybody is stopped.
CAUSE_SECONDS = 2.0
# After the last worker's end, how long output of its orphans' pipes is still collected.
DRAIN_SECONDS = 0.5
LAST_LINES = 20
MAX_HELD_LINE = 1 << 20  # a longer line is passed on in pieces
FORWARDED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1
# How a traceback ends when a peer's failure, not an own one, was the reason. Python writes it in
# pieces, between which a line of the engine's log may come.
_BLAME = re.compile(rb"^(?:ConnectionError)?: .*?\brank (\d+) ")


@dataclass
class WorkerSpec:
    rank: int
    local_rank: int
    command: list
    env: dict


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Console:
    """The launcher's stdout and stderr: whole lines, and on a terminal one transient line that
    a progress bar redraws with carriage returns."""

    def __init__(self):
        self._streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
        self.is_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        self._transient = False

    def write_line(self, fd, line):
        try:
            stream = self._streams[fd]
            if self._transient:
                stream.write(b"\r\x1b[K")
                self._transient = False
            stream.write(line + b"\n")
            stream.flush()
        except (BrokenPipeError, OSError):
            # The reader went away (a closed pager, for example): the job goes on unseen.
            self._streams[fd] = open(os.devnull, "wb")

    def write_transient(self, text):
        if self.is_terminal:
            self._streams[2].write(b"\r\x1b[K" + text)
            self._streams[2].flush()
            self._transient = True


class OutputPipe:
    """One stream of one worker: cuts it into lines; a partial line waits for its end."""

    def __init__(self, worker, fd, target, console, quiet, log_file):
        self.worker = worker
        self.fd = fd
        self._target = target
        self._console = console
        self._quiet = quiet
        self._log = log_file
        self._prefix = b"[%d] " % worker.spec.rank
        self._held = b""
        self.last_lines = collections.deque(maxlen=LAST_LINES)
        os.set_blocking(fd, False)

    def read(self):
        """Takes what is there. False at the end of the stream."""
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return True
            except OSError:
                data = b""
            if not data:
                return False
            if self._log:
                self._log.write(data)
                self._log.flush()
            self._take(data)

    def close(self):
        if self._held:
            self._emit(self._held)
            self._held = b""
        os.close(self.fd)
        if self._log:
            self._log.close()

    def _take(self, data):
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._emit(line)
        if b"\r" in self._held:
            # A redrawn line: what stands before the last carriage return is already replaced.
            shown = [part for part in self._held.split(b"\r") if part]
            self._held = (b"\r" + shown[-1]) if shown else b""
            if shown and not self._quiet:
                self._console.write_transient(self._prefix + shown[-1])
        elif len(self._held) > MAX_HELD_LINE:
            self._emit(self._held)
            self._held = b""

    def _emit(self, line):
        line = line.rstrip(b"\r").rpartition(b"\r")[2]
        self.last_lines.append(line)
        if not self._quiet:
            self._console.write_line(self._target, self._prefix + line)


class Worker:
    def __init__(self, spec):
        self.spec = spec
        self.process = None
        self.pidfd = -1
        self.code = None  # once ended: exit code, or minus the signal
        self.stderr = None

    @property
    def alive(self):
        return self.process is not None and self.code is None

    def signal_group(self, number):
        """The worker's whole session: its own children must not outlive it either."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def blames(self):
        """The rank whose failure this one ended of, by the last error it wrote, or None."""
        for line in reversed(self.stderr.last_lines):
            if found := _BLAME.match(line):
                return int(found.group(1))
        return None

    def describe_end(self):
        if self.code < 0:
            text = f"killed by {signal_name(-self.code)}"
            if self.code == -signal.SIGKILL:
                text += " (out of memory, if nobody sent it)"
            return text
        return f"exit code {self.code}"


def _die_with(parent_pid, libc):
    """What a worker runs before exec: it must not outlive the launcher."""
    def prepare():
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in (*FORWARDED_SIGNALS, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
    return prepare


class Guardian:
    """A process that outlives a killed launcher just long enough to end the workers' sessions.

    PR_SET_PDEATHSIG reaches the workers alone; their own children are ended from here. It learns
    the process groups through a pipe and acts when that closes without the word "done".
    """

    def __init__(self):
        read_end, self._write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._write_end)
            self._watch(read_end)
        os.close(read_end)

    @staticmethod
    def _watch(read_end):
        try:
            os.setsid()
            for number in FORWARDED_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            devnull = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):  # whoever reads the launcher's output must see its end
                os.dup2(devnull, fd)
            text = b""
            while chunk := os.read(read_end, 4096):
                text += chunk
            words = text.split()
            if b"done" not in words:
                for word in words:
                    try:
                        os.killpg(int(word), signal.SIGKILL)
                    except OSError:
                        pass
        finally:
            os._exit(0)

    def add(self, process_group):
        os.write(self._write_end, b"%d\n" % process_group)

    def dismiss(self):
        os.write(self._write_end, b"done\n")
        os.close(self._write_end)
        os.waitpid(self.pid, 0)


class Job:
    """Runs a list of workers. States: starting → running → stopping (after a failure or a signal)
    → over. `run` may be called once, from the main thread."""

    def __init__(self, specs, log_folder=None, quiet=False, signal_grace=20.0):
        self._workers = [Worker(spec) for spec in specs]
        self._log_folder = log_folder
        self._quiet = quiet
        self._signal_grace = signal_grace
        self._console = Console()
        self._selector = selectors.DefaultSelector()
        self._first_failure = None
        self._peers_stopped = 0
        self._cause = None  # the worker that the first failed one blames, while it is awaited
        self._stop_at = None  # when that wait ends
        self._stop_signal = None  # the first signal that was forwarded
        self._kill_at = None
        self._guardian = None
        self._ended = self._open_ended()
        self._pending_signals = []

    def run(self):
        self._guardian = Guardian()
        self._catch_signals()
        try:
            try:
                for worker in self._workers:
                    self._start(worker)
            except OSError as error:
                self._report_start_failure(error)
                self._kill_all()
                return EXIT_CANNOT_START
            self._loop()
            self._drain()
            self._report_failure()
            return self._exit_code()
        finally:
            self._kill_all()
            self._drain()
            self._guardian.dismiss()
            if self._ended is not None:
                os.close(self._ended[0])

    # Starting.

    def _catch_signals(self):
        wake_read, wake_write = os.pipe()
        for fd in (wake_read, wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in FORWARDED_SIGNALS:
            signal.signal(number, lambda n, _frame: self._pending_signals.append(n))
        self._wake_read = wake_read
        self._selector.register(wake_read, selectors.EVENT_READ, None)

    def _open_ended(self):
        """(file descriptor, end) of what says which ranks have ended without an error: a rank that
        waits for the others to meet it reads that (OFL_ENDED_FD). None without such files."""
        head = (self._workers[0].spec.env.get("OFL_JOB_ID", "") + "\n").encode()
        try:
            fd = os.memfd_create("oneflow-like-ended")
        except OSError:
            return None
        return fd, os.write(fd, head)

    def _tell_ended(self, worker):
        if self._ended is not None:
            fd, end = self._ended
            self._ended = fd, end + os.pwrite(fd, b"%d\n" % worker.spec.rank, end)

    def _start(self, worker):
        stdout_read, stdout_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        env = dict(worker.spec.env)
        if self._console.is_terminal and not self._quiet:
            env["OFL_LAUNCHER_TERMINAL"] = "1"
        shared = []
        if self._ended is not None:
            shared = [self._ended[0]]
            env["OFL_ENDED_FD"] = str(shared[0])
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            worker.process = subprocess.Popen(
                worker.spec.command, env=env, stdin=subprocess.DEVNULL, stdout=stdout_write,
                stderr=stderr_write, start_new_session=True, pass_fds=shared,
                preexec_fn=_die_with(os.getpid(), libc))
        except BaseException:
            os.close(stdout_read)
            os.close(stderr_read)
            raise
        finally:
            os.close(stdout_write)
            os.close(stderr_write)
        self._guardian.add(worker.process.pid)
        worker.pidfd = os.pidfd_open(worker.process.pid)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, worker)
        self._add_pipe(worker, stdout_read, 1)
        worker.stderr = self._add_pipe(worker, stderr_read, 2)

    def _add_pipe(self, worker, fd, target):
        log_file = None
        if self._log_folder:
            folder = os.path.join(self._log_folder, f"local_rank_{worker.spec.local_rank}")
            os.makedirs(folder, exist_ok=True)
            log_file = open(os.path.join(folder, {1: "stdout", 2: "stderr"}[target]), "wb")
        pipe = OutputPipe(worker, fd, target, self._console, self._quiet, log_file)
        self._selector.register(fd, selectors.EVENT_READ, pipe)
        return pipe

    # Running.

    def _loop(self):
        while any(worker.alive for worker in self._workers):
            timeout = None
            ends = [at for at in (self._kill_at, self._stop_at) if at is not None]
            if ends:
                timeout = max(0.0, min(ends) - time.monotonic())
            self._handle(self._selector.select(timeout))
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                self._stop_after_failure()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_all()
                self._kill_at = None

    def _handle(self, events):
        # Output first: the last words of a worker stand before the report of its end.
        for key, _ in events:
            if isinstance(key.data, OutputPipe):
                self._read(key.data)
        for key, _ in events:
            if key.data is None:
                os.read(self._wake_read, 4096)
        while self._pending_signals:
            self._on_signal(self._pending_signals.pop(0))
        for key, _ in events:
            if isinstance(key.data, Worker):
                self._on_end(key.data)

    def _read(self, pipe):
        if not pipe.read():
            self._selector.unregister(pipe.fd)
            pipe.close()

    def _on_end(self, worker):
        self._selector.unregister(worker.pidfd)
        os.close(worker.pidfd)
        worker.code = worker.process.wait()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, OutputPipe) and key.data.worker is worker:
                self._read(key.data)
        worker.signal_group(signal.SIGKILL)  # children it left behind
        if self._stop_signal is not None:
            return
        if worker.code == 0:
            self._tell_ended(worker)
        if worker.code != 0 and self._first_failure is None:
            now = time.monotonic()
            self._stop_at, self._kill_at = now + CAUSE_SECONDS, now + FAILURE_SECONDS
            self._on_failure(worker)
        elif self._stop_at is not None and worker is self._cause:
            if worker.code != 0:
                self._on_failure(worker)
            else:
                self._stop_after_failure()

    def _on_failure(self, worker):
        """Peers may hear of a failure, and end, before the failing process itself has ended."""
        self._first_failure = worker
        rank = worker.blames()
        self._cause = next((w for w in self._workers if w.spec.rank == rank and w.alive), None)
        if self._cause is None:
            self._stop_after_failure()

    def _stop_after_failure(self):
        self._stop_at = None
        self._peers_stopped = sum(peer.alive for peer in self._workers)
        self._stop_peers(signal.SIGTERM, FAILURE_GRACE_SECONDS)

    def _on_signal(self, number):
        if self._stop_signal is not None:
            self._kill_all()
            return
        self._stop_signal = number
        self._stop_at = None
        self._stop_peers(number, self._signal_grace)

    def _stop_peers(self, number, grace):
        for worker in self._workers:
            if worker.alive:
                worker.signal_group(number)
        deadline = time.monotonic() + grace
        self._kill_at = deadline if self._kill_at is None else min(self._kill_at, deadline)

    def _kill_all(self):
        for worker in self._workers:
            if worker.alive:
                worker.signal_group(signal.SIGKILL)

    # The end.

    def _drain(self):
        if self._selector is None:
            return
        deadline = time.monotonic() + DRAIN_SECONDS
        for worker in self._workers:
            if worker.alive:
                worker.code = worker.process.wait()
        while time.monotonic() < deadline:
            pipes = [key for key in self._selector.get_map().values()
                     if isinstance(key.data, OutputPipe)]
            if not pipes:
                break
            for key, _ in self._selector.select(max(0.0, deadline - time.monotonic())):
                if isinstance(key.data, OutputPipe):
                    self._read(key.data)
                elif isinstance(key.data, Worker):
                    self._selector.unregister(key.fd)
                else:
                    os.read(self._wake_read, 4096)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, OutputPipe):
                key.data.close()
        self._selector.close()
        self._selector = None

    def _say(self, text):
        self._console.write_line(2, text.encode())

    def _report_start_failure(self, error):
        command = self._workers[0].spec.command[0]
        reason = os.strerror(error.errno) if error.errno else str(error)
        hint = ""
        if error.errno in (errno.EAGAIN, errno.ENOMEM):
            hint = "; start fewer processes, or raise the limit (ulimit -u)"
        what = f"cannot start {command}"
        if self._log_folder and error.filename not in (None, command):
            what = f"--log-dir: cannot write {error.filename}"
        self._say(f"oneflow-like-run: error: {what}: {reason}{hint}")

    def _report_failure(self):
        worker = self._first_failure
        if worker is None:
            if self._stop_signal is not None:
                self._say(f"oneflow-like-run: stopped by {signal_name(self._stop_signal)}")
            return
        spec = worker.spec
        self._say(f"oneflow-like-run: rank {spec.rank} failed first: {worker.describe_end()} "
                  f"(local rank {spec.local_rank}, pid {worker.process.pid}); "
                  f"{self._peers_stopped} other process(es) were stopped")
        if worker.stderr.last_lines:
            self._say(f"  last lines of rank {spec.rank}'s stderr:")
            for line in worker.stderr.last_lines:
                self._say("  | " + line.decode(errors="replace"))
        else:
            self._say(f"  rank {spec.rank} wrote nothing to stderr")
        if self._log_folder:
            self._say(f"  full output: {os.path.join(self._log_folder, 'local_rank_*')}")

    def _exit_code(self):
        if self._first_failure is not None:
            code = self._first_failure.code
            return 128 - code if code < 0 else code
        if self._stop_signal is not None:
            return 128 + self._stop_signal
        return 0
