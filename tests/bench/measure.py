"""The measuring itself: wrk, curl, and what /proc says of processes."""
import os
import re
import subprocess
import threading
import time
from pathlib import Path

from kit.programs import found

TICK = os.sysconf("SC_CLK_TCK")
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


def descendants(pid):
    """The process and all below it."""
    pids, at = [pid], 0
    while at < len(pids):
        for task in Path(f"/proc/{pids[at]}/task").glob("*/children"):
            pids += [int(child) for child in task.read_text().split()]
        at += 1
    return pids


def cpu_seconds(pid):
    total = 0
    for each in descendants(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def rss_kb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class PeakMemory:
    """The largest growth of each process, and of their sum, seen while inside; sampled every 20 ms."""

    def __init__(self, programs):
        self.pids = {name: program.pid for name, program in programs.items()}

    def sample(self):
        return {name: rss_kb(pid) for name, pid in self.pids.items()}

    def __enter__(self):
        self.before = self.sample()
        self.peak = dict(self.before)
        self.sum_growth = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.wait(0.02):
            now = self.sample()
            self.peak = {name: max(self.peak[name], kb) for name, kb in now.items()}
            self.sum_growth = max(self.sum_growth, sum(now.values()) - sum(self.before.values()))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Wrk:
    """One run of wrk: requests per second, the median latency in ms, and how many requests there were."""

    def __init__(self, url, connections, seconds):
        threads = min(connections, 2)
        command = [found("wrk"), "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--latency", url]
        self.command = " ".join(command)
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        errors = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", text)
        assert not errors, f"{self.command}: {errors.group(0)}"
        self.rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
        number, unit = re.search(r"50%\s+([\d.]+)(us|ms|s|m)", text).groups()
        self.median_ms = float(number) * UNITS[unit]
        self.requests = int(re.search(r"(\d+) requests in", text).group(1))


def transfer(url, size, upload=None):
    """Seconds that curl takes to move `size` bytes down from the URL, or the file `upload` up to it."""
    command = [found("curl"), "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download} %{size_upload}", "-H", "Expect:"]
    command += ["-T", upload, url] if upload else [url]
    begin = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    seconds = time.monotonic() - begin
    assert int(done[1 if upload else 0]) == size, f"{' '.join(command)}: {done}"
    return seconds
