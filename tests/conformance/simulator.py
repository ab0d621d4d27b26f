"""A `clb-sim` process of our own, and its operator's door."""

import json
import os
import re
import subprocess
import tempfile
import urllib.request
from types import TracebackType
from typing import IO, Any

REGION = "ap-guangzhou"
VPC = "vpc-demo0001"
SECRET_ID = "AKIDconformance"
SECRET_KEY = "conformance-secret-key"

# Writes take this long: hundreds of them are waited for.
TASK_MS = 5

# Each simulator takes VIPs of a range of its own, so that two can run at a time.
_ranges = iter(range(64, 128))


class Simulator:
    """Runs from `with` to its end, whatever happens in between."""

    def __init__(self, *options: str, rate: int = 0, task_ms: int = TASK_MS) -> None:
        self._command = [
            # The kernel ends it should this process be killed.
            *("setpriv", "--pdeathsig", "TERM", "--"),
            os.environ.get("CLB_SIM") or "clb-sim",
            *("--listen", "127.0.0.1:0"),
            *("--vip-pool", f"127.0.{next(_ranges)}.0/24"),
            *("--region", REGION, "--vpc-id", VPC),
            *("--secret-id", SECRET_ID, "--secret-key", SECRET_KEY),
            *("--rate", str(rate), "--task-ms", str(task_ms)),
            *options,
        ]
        self._log: IO[bytes] = tempfile.TemporaryFile()
        self.address = ""

    def __enter__(self) -> "Simulator":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=self._log, text=True)
        assert self._process.stdout is not None
        greeting = self._process.stdout.readline()
        found = re.search(r"http://(\S+)", greeting)
        if not found:
            self._process.wait()
            said = self.log()
            self.stop()
            raise RuntimeError(f"clb-sim did not start: {greeting}{said}")
        self.address = found[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def operator(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call at the operator's door, which is the simulator's own and not Tencent's."""
        request = urllib.request.Request(
            f"http://{self.address}/_sim/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        # Straight there, also where a proxy is configured.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def fault(self, action: str, **fault: Any) -> None:
        """Something is to go wrong with the next call of an action."""
        self.operator("POST", "faults", {"action": action, **fault})
