"""Starts the processes of one job on this machine and looks after them until all are gone.

    oneflow-like-run --nproc-per-node 2 train.py --epochs 3
    python -m oneflow_like.distributed.launch --nproc_per_node 2 train.py

Flags carry torchrun's names, in both spellings. Each worker runs in its own session with stdin
closed; its lines appear prefixed with its rank. The first failure stops the job.
"""

import argparse
import os
import socket
import sys
import uuid

if __package__:
    from ._workers import EXIT_USAGE, Job, WorkerSpec
else:  # run by its path, from a tree that is not installed
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from _workers import EXIT_USAGE, Job, WorkerSpec


class UsageError(Exception):
    """The command line asks for something that cannot be started."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}\n")

    def option(self, name, *aliases, default=None, **kwargs):
        """Adds `--a-b` and `--a_b`; the environment variable PET_A_B gives the default."""
        spellings = list(aliases)
        for word in (name, name.replace("-", "_")):
            if f"--{word}" not in spellings:
                spellings.append(f"--{word}")
        variable = "PET_" + name.replace("-", "_").upper()
        self.add_argument(*spellings, default=os.environ.get(variable, default),
                          dest=name.replace("-", "_"), **kwargs)


def _build_parser():
    parser = _Parser(prog="oneflow-like-run", allow_abbrev=False,
                     description="Run a script as several processes of one job.")
    parser.option("nnodes", default="1", help="machines in the job (default 1)")
    parser.option("nproc-per-node", default="1",
                  help="processes on this machine: a number, or auto/cpu for one a core")
    parser.option("node-rank", default="0", help="index of this machine (default 0)")
    parser.option("master-addr", help="address of rank 0's machine (default 127.0.0.1)")
    parser.option("master-port", help="port rank 0 listens on (default: a free one)")
    parser.option("rdzv-endpoint", help="HOST[:PORT], the same as --master-addr/--master-port")
    parser.option("rdzv-backend", default="static", choices=["static", "c10d"],
                  help="accepted for torchrun's scripts; rank 0 always is the meeting point")
    parser.option("rdzv-id", help="name of the job (default: a random one)")
    parser.add_argument("--standalone", action="store_true",
                        help="one machine, a free port (the default with one node)")
    parser.option("max-restarts", default="0", help="only 0: a failed job is not restarted")
    parser.option("log-dir", "--logdir", help="also write each rank's output below this folder")
    parser.add_argument("--redirect-stdout-and-stderr", "--redirect_stdout_and_stderr",
                        action="store_true", help="output to --log-dir (default: log) only")
    parser.option("grace-period", default="20",
                  help="seconds between a forwarded signal and SIGKILL (default 20)")
    parser.add_argument("-m", "--module", action="store_true",
                        help="the script is a module name, as in python -m")
    parser.add_argument("--no-python", "--no_python", action="store_true",
                        help="run the script directly, without Python")
    parser.add_argument("script", help="the script, module or program to run")
    parser.add_argument("script_args", nargs=argparse.REMAINDER, help="its arguments")
    return parser


def _number(text, name, low, high):
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise UsageError(f"--{name}: got {text}; expected a number from {low} to {high}")
    return value


def _processes_per_node(text):
    if text in ("auto", "cpu"):
        return len(os.sched_getaffinity(0))
    return _number(text, "nproc-per-node", 1, 4096)


def _split_endpoint(endpoint):
    host, colon, port = endpoint.rpartition(":")
    if not colon or endpoint.endswith("]"):
        return endpoint.strip("[]"), None
    return host.strip("[]"), port


def _reserve_port():
    """A free loopback port, with the socket that keeps others from being given it.

    The socket never listens, so rank 0 may bind the same port with SO_REUSEADDR.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder.getsockname()[1], holder


def _check_port_free(address, port):
    """Tells now, in one line, what rank 0 would find out only after everybody has started."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            raise UsageError(f"--master-port: {address}:{port} cannot be used: {error.strerror}; "
                             "choose another, or leave it out to get a free one") from None


def _rendezvous(args, nnodes, node_rank):
    """(address, port, socket that holds the port or None)."""
    address, port = args.master_addr, args.master_port
    if args.rdzv_endpoint:
        host, endpoint_port = _split_endpoint(args.rdzv_endpoint)
        address = address or host
        port = port or endpoint_port
    if nnodes > 1 and (not address or port is None):
        raise UsageError(f"--nnodes {nnodes}: needs --master-addr and --master-port (or "
                         "--rdzv-endpoint HOST:PORT), the same on every machine")
    address = address or "127.0.0.1"
    if port is None or str(port) == "0":
        if address not in ("127.0.0.1", "localhost"):
            raise UsageError(f"--master-addr {address}: needs --master-port")
        port, holder = _reserve_port()
        return address, port, holder
    port = _number(port, "master-port", 1, 65535)
    if node_rank == 0 and nnodes == 1 and address in ("127.0.0.1", "localhost"):
        _check_port_free(address, port)
    return address, port, None


def _worker_command(args):
    if args.no_python:
        if args.module:
            raise UsageError("--no-python and -m exclude each other: a module needs Python")
        return [args.script, *args.script_args]
    if not args.module and not os.path.exists(args.script):
        raise UsageError(f"script {args.script}: no such file (a module is run with -m, a program "
                         "with --no-python)")
    return [sys.executable, "-u", *(["-m"] if args.module else []), args.script, *args.script_args]


def _worker_environment(local_rank, nproc, nnodes, node_rank, address, port, job_id):
    env = dict(os.environ)
    env.update(RANK=str(node_rank * nproc + local_rank), LOCAL_RANK=str(local_rank),
               WORLD_SIZE=str(nproc * nnodes), LOCAL_WORLD_SIZE=str(nproc),
               NODE_RANK=str(node_rank), GROUP_RANK=str(node_rank),
               MASTER_ADDR=address, MASTER_PORT=str(port), OFL_JOB_ID=job_id,
               PYTHONUNBUFFERED="1")
    cores = len(os.sched_getaffinity(0))
    env.setdefault("OMP_NUM_THREADS", str(max(1, cores // nproc)))
    return env


def _log_folder(args):
    if args.log_dir:
        return args.log_dir
    return "log" if args.redirect_stdout_and_stderr else None


def _plan_workers(args):
    """The workers to start and the socket that holds their port (or None)."""
    nnodes = _number(args.nnodes, "nnodes", 1, 65536)
    nproc = _processes_per_node(args.nproc_per_node)
    node_rank = _number(args.node_rank, "node-rank", 0, nnodes - 1)
    if args.standalone and nnodes != 1:
        raise UsageError(f"--standalone means one machine: got --nnodes {nnodes}")
    if _number(args.max_restarts, "max-restarts", 0, 1 << 30) != 0:
        raise UsageError(f"--max-restarts: got {args.max_restarts}; restarts are not supported, "
                         "expected 0: restart the whole job from its checkpoint instead")
    command = _worker_command(args)
    address, port, holder = _rendezvous(args, nnodes, node_rank)
    job_id = args.rdzv_id or uuid.uuid4().hex[:16]
    workers = [WorkerSpec(rank=node_rank * nproc + i, local_rank=i, command=command,
                          env=_worker_environment(i, nproc, nnodes, node_rank, address, port,
                                                  job_id))
               for i in range(nproc)]
    return workers, holder


def main(argv=None):
    """Runs the job; returns its exit code: the first failing rank's, 128 + n for signal n."""
    args = _build_parser().parse_args(argv)
    try:
        grace = _number(args.grace_period, "grace-period", 0, 86400)
        workers, holder = _plan_workers(args)
    except UsageError as error:
        print(f"oneflow-like-run: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    job = Job(workers, log_folder=_log_folder(args), quiet=args.redirect_stdout_and_stderr,
              signal_grace=grace)
    try:
        return job.run()
    finally:
        if holder is not None:
            holder.close()


if __name__ == "__main__":
    sys.exit(main())
