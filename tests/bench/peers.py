"""What we are measured against, and the local service behind everything: nginx, a libfcgi hello, ssh -R."""
import os
import pwd
import socket
import subprocess

from kit import ports
from kit.programs import Program, found
from kit.wait import until

BODY = "This body is 35 bytes long, I say.\n"
GIGABYTE = 1 << 30


def await_port(program, port):
    def listens():
        assert program.alive(), program.last_words()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    until(listens, f"{program.name} to listen")


class Nginx:
    """The local service: a small answer, a sparse file of 1 GB, and a place that takes any upload."""

    def __init__(self, directory, sink_port):
        self.port = ports.take()
        os.mkdir(f"{directory}/nginx")
        with open(f"{directory}/nginx/large", "wb") as file:
            file.truncate(GIGABYTE)
        user = "user root;" if os.getuid() == 0 else ""
        config = f"""{user}
daemon off; worker_processes 1; pid {directory}/nginx/pid; error_log {directory}/nginx/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on; client_body_temp_path {directory}/nginx/body;
  proxy_temp_path {directory}/nginx/p; fastcgi_temp_path {directory}/nginx/f; uwsgi_temp_path {directory}/nginx/u;
  scgi_temp_path {directory}/nginx/s; default_type text/plain;
  server {{
    listen 127.0.0.1:{self.port} reuseport backlog=4096;
    location = /small {{ return 200 "{BODY.strip()}\\n"; }}
    location = /large {{ root {directory}/nginx; }}
    location = /upload {{
      client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1;
      proxy_pass http://127.0.0.1:{sink_port};
    }}
  }}
}}
"""
        with open(f"{directory}/nginx/nginx.conf", "w") as file:
            file.write(config)
        self.program = Program("nginx", [found("nginx"), "-p", f"{directory}/nginx", "-c", f"{directory}/nginx/nginx.conf"])
        await_port(self.program, self.port)

    @property
    def target(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.program.stop()
        ports.give_back(self.port)


class Hello:
    """The libfcgi hello on a Unix socket that it gets as descriptor 0."""

    def __init__(self, directory, binary):
        self.socket = f"{directory}/hello.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.socket)
        os.chmod(self.socket, 0o777)
        listener.listen(4096)
        self.program = Program("fcgi-hello", [str(binary)], stdin=listener)
        listener.close()

    def stop(self):
        self.program.kill()


class SshReverse:
    """OpenSSH's own sshd on a loopback port, and `ssh -R` to it; keys and settings of their own, nothing of the user's."""

    def __init__(self, directory, service_port):
        self.directory = f"{directory}/ssh"
        os.mkdir(self.directory, 0o700)
        self.port, self.sshd_port = ports.take(), ports.take()
        for key in ("host", "user"):
            subprocess.run([found("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", f"{self.directory}/{key}"], check=True)
        os.replace(f"{self.directory}/user.pub", f"{self.directory}/authorized")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.write("sshd_config", f"""
Port {self.sshd_port}
ListenAddress 127.0.0.1
HostKey {self.directory}/host
AuthorizedKeysFile {self.directory}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
MaxSessions 10
""")
        self.sshd = Program("sshd", [found("sshd"), "-D", "-e", "-f", f"{self.directory}/sshd_config"])
        await_port(self.sshd, self.sshd_port)
        user = pwd.getpwuid(os.getuid()).pw_name
        self.ssh = Program("ssh", [
            found("ssh"), "-F", "none", "-N", "-T", "-i", f"{self.directory}/user", "-o", "IdentitiesOnly=yes",
            "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.directory}/known", "-o", "BatchMode=yes",
            "-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{self.port}:127.0.0.1:{service_port}",
            "-p", str(self.sshd_port), f"{user}@127.0.0.1"])
        await_port(self.ssh, self.port)

    def write(self, name, text):
        with open(f"{self.directory}/{name}", "w") as file:
            file.write(text)

    def stop(self):
        self.ssh.kill()
        self.sshd.kill()
        ports.give_back(self.port)
        ports.give_back(self.sshd_port)


def front_extra(name, hello, ssh_port, service_port):
    """What the peers need in the front's own configuration: the same front, other paths."""
    if name == "caddy":
        return f"""
	handle /hello/* {{
		reverse_proxy unix/{hello} {{
			transport fastcgi
		}}
	}}
	handle_path /ssh/* {{
		reverse_proxy 127.0.0.1:{ssh_port} {{
			flush_interval -1
		}}
	}}
	handle_path /direct/* {{
		reverse_proxy 127.0.0.1:{service_port} {{
			flush_interval -1
		}}
	}}
"""
    return f"""
<Location "/hello/">
	ProxyPass "unix:{hello}|fcgi://hello/" enablereuse=off
</Location>
<Location "/ssh/">
	ProxyPass "http://127.0.0.1:{ssh_port}/" flushpackets=on
</Location>
<Location "/direct/">
	ProxyPass "http://127.0.0.1:{service_port}/" flushpackets=on
</Location>
"""
