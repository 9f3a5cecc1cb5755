"""The launcher, on real processes that need nothing but Python."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

LAUNCH = (pathlib.Path(__file__).resolve().parents[2] / "python" / "oneflow_like" / "distributed" /
          "launch.py")
DEADLINE = 60  # only a hang comes near


def command(*args):
    return [sys.executable, str(LAUNCH), *map(str, args)]


def clean_env(**extra):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
             "OMP_NUM_THREADS")
    env = {k: v for k, v in os.environ.items() if k not in names and not k.startswith("PET_")}
    env.update(extra)
    return env


def launch(*args, **kwargs):
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=DEADLINE,
                          env=clean_env(**kwargs.pop("env", {})), **kwargs)


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "script.py"
        path.write_text(text)
        return path
    return write


def is_gone(pid):
    """True for an ended process, a zombie that nobody has collected included."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition, seconds=DEADLINE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        os.sched_yield()


SHOW_ENV = """
import os
names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR NODE_RANK OMP_NUM_THREADS".split()
print(" ".join(f"{n}={os.environ[n]}" for n in names))
print("port", int(os.environ["MASTER_PORT"]), "job", os.environ["OFL_JOB_ID"])
"""


def test_workers_get_torchrun_environment(script):
    result = launch("--nproc-per-node", 2, script(SHOW_ENV))
    assert result.returncode == 0, result.stderr
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    for rank in range(2):
        assert (f"[{rank}] RANK={rank} LOCAL_RANK={rank} WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 "
                f"MASTER_ADDR=127.0.0.1 NODE_RANK=0 OMP_NUM_THREADS={threads}") in result.stdout
    lines = [line[4:] for line in result.stdout.splitlines() if "] port " in line]
    assert len(lines) == 2 and lines[0] == lines[1]


def test_both_spellings_and_pet_variables(script):
    path = script(SHOW_ENV)
    result = launch("--nnodes=2", "--node_rank=1", "--nproc_per_node=2", "--master_addr=127.0.0.1",
                    "--master_port=29511", path)
    assert "[2] RANK=2 LOCAL_RANK=0 WORLD_SIZE=4 LOCAL_WORLD_SIZE=2" in result.stdout
    assert "[3] port 29511" in result.stdout
    result = launch(path, env={"PET_NPROC_PER_NODE": "3", "OMP_NUM_THREADS": "7"})
    assert "[2] RANK=2" in result.stdout and "OMP_NUM_THREADS=7" in result.stdout


def test_script_arguments_module_and_program(script, tmp_path):
    path = script("import sys; print(sys.argv[1:], sys.stdin.read() == '')")
    result = launch(path, "--nproc-per-node", "9", "-m")
    assert result.stdout == "[0] ['--nproc-per-node', '9', '-m'] True\n"
    result = launch("-m", "script", "x", cwd=tmp_path)
    assert result.stdout == "[0] ['x'] True\n"
    result = launch("--no-python", "/bin/echo", "hi")
    assert result.stdout == "[0] hi\n"


def test_free_port_can_be_bound_by_rank_zero(script):
    result = launch("--nproc-per-node", 2, script("""
import os, socket
if os.environ["RANK"] == "0":
    socket.create_server(("127.0.0.1", int(os.environ["MASTER_PORT"]))).close()
    print("bound")
"""))
    assert result.returncode == 0 and result.stdout == "[0] bound\n", result.stderr


def test_partial_lines_wait_for_their_end(script, tmp_path):
    # Each rank writes its line in pieces, in lockstep with the other through files.
    path = script("""
import os, pathlib, sys
rank = int(os.environ["RANK"]); folder = pathlib.Path(sys.argv[1])
for step in range(6):
    mine, other = folder / f"{step}.{rank}", folder / f"{step}.{1 - rank}"
    os.write(1, b"ab"[rank:rank + 1])
    mine.touch()
    while not other.exists(): os.sched_yield()
os.write(1, b"\\n")
os.write(1, b"last without newline")
""")
    result = launch("--nproc-per-node", 2, path, tmp_path)
    assert sorted(result.stdout.splitlines()) == [
        "[0] aaaaaa", "[0] last without newline", "[1] bbbbbb", "[1] last without newline"]


def test_first_failure_is_told_and_gives_the_exit_code(script):
    result = launch("--nproc-per-node", 3, script("""
import os, signal, sys
if os.environ["RANK"] == "1":
    for i in range(30): print("line", i, file=sys.stderr)
    sys.exit(7)
signal.pause()
"""))
    assert result.returncode == 7
    report = result.stderr[result.stderr.index("oneflow-like-run:"):]
    assert "rank 1 failed first: exit code 7" in report
    assert "2 other process(es) were stopped" in report
    assert [line for line in report.splitlines() if line.startswith("  | ")] == [
        f"  | line {i}" for i in range(10, 30)]


@pytest.mark.parametrize("between", ["", "W20261127 engine.cc:347] rank 0: rank 1 failed: no\\n"],
                         ids=["whole", "cut by a line of the log"])
def test_a_rank_that_ends_of_anothers_failure_is_not_the_first(script, between):
    path = script(f"""
import os, sys, time
if os.environ["RANK"] == "1":
    time.sleep(0.5)
    sys.exit(7)
sys.stderr.write("ConnectionError{between}: [to_global] rank 1 failed: no; expected more\\n")
sys.exit(1)
""")
    result = launch("--nproc-per-node", "2", str(path))
    assert "rank 1 failed first: exit code 7" in result.stderr, result.stderr


def test_death_by_signal_is_named(script):
    result = launch("--nproc-per-node", 2, script("""
import os, signal
if os.environ["RANK"] == "0": os.kill(os.getpid(), signal.SIGSEGV)
signal.pause()
"""))
    assert result.returncode == 128 + signal.SIGSEGV
    assert "rank 0 failed first: killed by SIGSEGV" in result.stderr


STUBBORN = """
import os, signal, subprocess, sys, pathlib
for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
    "[signal.pause() for _ in iter(int, 1)]"], stdout=subprocess.PIPE)
child.stdout.readline()
folder = pathlib.Path(sys.argv[1])
(folder / "tmp{}".format(os.environ["RANK"])).write_text(f"{os.getpid()} {child.pid}")
(folder / "tmp{}".format(os.environ["RANK"])).rename(folder / ("pids" + os.environ["RANK"]))
if os.environ["RANK"] == "0" and len(sys.argv) > 2:
    while not (folder / "pids1").exists(): os.sched_yield()
    sys.exit(5)
while True: signal.pause()
"""


def read_pids(folder, ranks=2):
    files = [folder / f"pids{rank}" for rank in range(ranks)]
    wait_until(lambda: all(file.exists() for file in files))
    return [int(word) for file in files for word in file.read_text().split()]


def test_stubborn_peers_and_their_children_are_gone_within_five_seconds(script, tmp_path):
    launcher = subprocess.Popen(command("--nproc-per-node", 2, script(STUBBORN), tmp_path, "fail"),
                                stderr=subprocess.PIPE, env=clean_env())
    pids = read_pids(tmp_path)
    start = time.monotonic()
    launcher.communicate(timeout=DEADLINE)
    assert launcher.returncode == 5
    wait_until(lambda: all(map(is_gone, pids)))
    assert time.monotonic() - start < 5


def test_killed_launcher_leaves_nothing_behind(script, tmp_path):
    launcher = subprocess.Popen(command("--nproc-per-node", 2, script(STUBBORN), tmp_path),
                                env=clean_env())
    pids = read_pids(tmp_path)
    launcher.kill()
    launcher.wait(DEADLINE)
    wait_until(lambda: all(map(is_gone, pids)), 5)


def test_second_signal_kills(script, tmp_path):
    launcher = subprocess.Popen(command("--nproc-per-node", 2, script(STUBBORN), tmp_path),
                                env=clean_env(), stderr=subprocess.PIPE)
    pids = read_pids(tmp_path)
    launcher.send_signal(signal.SIGINT)
    launcher.send_signal(signal.SIGTERM)
    launcher.communicate(timeout=DEADLINE)
    assert launcher.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    wait_until(lambda: all(map(is_gone, pids)), 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_forwarded_once(script, number):
    path = script("""
import signal, sys
def handler(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, handler)
print("ready", flush=True)
while True: signal.pause()
""")
    launcher = subprocess.Popen(command("--nproc-per-node", 2, path), env=clean_env(), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ready = sorted(launcher.stdout.readline() for _ in range(2))
    assert ready == ["[0] ready\n", "[1] ready\n"]
    launcher.send_signal(number)
    out, err = launcher.communicate(timeout=DEADLINE)
    assert sorted(out.splitlines()) == [f"[{rank}] got {number.name}" for rank in range(2)]
    assert launcher.returncode == 128 + number
    assert f"stopped by {number.name}" in err


def test_carriage_returns_keep_the_last_state_only(script):
    result = launch(script(r"""
import os
for i in range(3): os.write(2, b"\r%d%%" % i)
os.write(2, b"\n")
"""))
    assert result.stderr == "[0] 2%\n"


def test_log_folder_gets_each_ranks_output(script, tmp_path):
    logs = tmp_path / "logs"
    result = launch("--nproc-per-node", 2, "--logdir", logs, "--redirect_stdout_and_stderr",
                    script("import os; print('rank', os.environ['RANK'])"))
    assert result.stdout == ""
    assert (logs / "local_rank_1" / "stdout").read_text() == "rank 1\n"


@pytest.mark.parametrize("args, text", [
    (["--nproc-per-node", "many", "x.py"], "--nproc-per-node: got many; expected a number"),
    (["missing.py"], "missing.py: no such file"),
    (["--nnodes", "2", __file__], "needs --master-addr and --master-port"),
    (["--node-rank", "1", __file__], "--node-rank: got 1; expected a number from 0 to 0"),
    (["--max-restarts", "3", __file__], "restarts are not supported"),
    (["--master-port", "70000", __file__], "--master-port: got 70000"),
    ([], "the following arguments are required: script"),
])
def test_bad_command_lines_are_one_clear_error(args, text):
    result = launch(*args)
    assert result.returncode == 64
    assert text in result.stderr and "Traceback" not in result.stderr


def test_taken_port_is_told_before_anything_starts(script):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = launch("--master-port", port, script("print('started')"))
    assert result.returncode == 64 and "started" not in result.stdout
    assert f"127.0.0.1:{port} cannot be used: Address already in use" in result.stderr


def test_a_log_folder_that_cannot_be_written_is_named(script, tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "logs"
    result = launch("--nproc-per-node", 2, "--log-dir", folder, script("print('started')"))
    assert result.returncode == 127 and "started" not in result.stdout
    assert f"--log-dir: cannot write {folder}" in result.stderr
    assert "Not a directory" in result.stderr


def test_program_that_does_not_exist():
    result = launch("--no-python", "/does/not/exist")
    assert result.returncode == 127
    assert "cannot start /does/not/exist: No such file or directory" in result.stderr


FIRST_CALL = """
import time
import oneflow_like as flow
rank = flow.env.get_rank()
x = flow.ones(4, placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
if rank == {rank}:
    x.numpy()
time.sleep({pause} * rank)
"""


@pytest.mark.parametrize(("rank", "pause"), [(0, 0), (0, 1), (1, 0)])
def test_a_first_collective_of_one_rank_alone_ends_with_the_others(script, rank, pause):
    start = time.monotonic()
    result = launch("--nproc-per-node", 2, script(FIRST_CALL.format(rank=rank, pause=pause)))
    assert result.returncode == 1 and time.monotonic() - start < 40
    assert (f"ConnectionError: [numpy] rank {1 - rank} of 2 ended without meeting the others; "
            "expected every rank to make the same calls until its end; look whether "
            "`if rank == 0:`") in result.stderr, result.stderr


def test_who_waits_for_the_first_meeting_hears_of_its_own_time(script):
    result = launch("--nproc-per-node", 2, script(FIRST_CALL.format(rank=0, pause=60)),
                    env={"OFL_RENDEZVOUS_TIMEOUT_S": "1"})
    assert result.returncode == 1
    line, = [s for s in result.stderr.splitlines() if s.startswith("[0] TimeoutError")]
    assert "if ranks start or compute longer, set OFL_RENDEZVOUS_TIMEOUT_S" in line
    assert "a rank that has ended" in line and "OFL_OPERATION_TIMEOUT_S" not in line


def test_ranks_that_end_without_meeting_are_no_failure(script):
    result = launch("--nproc-per-node", 3, script("import oneflow_like as flow; flow.ones(1)"))
    assert result.returncode == 0 and result.stderr == ""
