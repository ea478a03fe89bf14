"""The client's way to the server: a network namespace of its own, whose cable can be pulled (Linux, root)."""
import os
import subprocess


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def missing():
    """Why there can be none here; or None."""
    if os.getuid() != 0:
        return "network namespaces need root"
    name = f"pgprobe{os.getpid()}"
    try:
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"{name[-9:]}p", "type", "veth", "peer", "name", "p1", "netns", name)
    except OSError as error:
        return f"no network namespaces here: {error}"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return None


class Link:
    def __init__(self):
        self.name = f"pgf{os.getpid()}"
        net = 4 * (os.getpid() % 8192)
        base = f"10.213.{net // 256}."
        self.server, self.client = f"{base}{net % 256 + 1}", f"{base}{net % 256 + 2}"
        self.close()  # one that a run which was killed left behind
        run("ip", "netns", "add", self.name)
        try:
            run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            run("ip", "addr", "add", f"{self.server}/30", "dev", self.name)
            run("ip", "link", "set", self.name, "up")
            run("ip", "-n", self.name, "addr", "add", f"{self.client}/30", "dev", "eth0")
            run("ip", "-n", self.name, "link", "set", "eth0", "up")
            run("ip", "-n", self.name, "link", "set", "lo", "up")
        except OSError:
            self.close()
            raise

    @property
    def within(self):
        return ["ip", "netns", "exec", self.name]

    def down(self):
        """Nothing passes, nobody is told."""
        run("ip", "link", "set", self.name, "down")

    def up(self):
        run("ip", "link", "set", self.name, "up")

    def reset(self):
        """Both ends of each of the client's connections get a reset."""
        run(*self.within, "ss", "-K", "dst", self.server)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
