"""Caddy, Apache, nginx and lighttpd, each started privately around the very files in deploy/ that a user puts into a site."""
import os
import re
import shutil
import subprocess

from . import ports
from .programs import ROOT, Program, found
from .visitor import BrokenOff, Visitor, request_bytes
from .wait import PATIENCE, until

NAMES = os.environ.get("PG_FRONTS", "caddy apache nginx lighttpd").split()


def let_in(directory):
    """Apache, nginx and lighttpd started as root serve as www-data, who must get to the sockets in the directory."""
    if os.getuid() == 0:
        shutil.chown(directory, group="www-data")
        os.chmod(directory, 0o2770)


class Parent(Program):
    """A program with children, which stay behind when it is killed outright."""

    def kill(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        super().kill()


def numbered(name, index):
    """The first one of a kind has no number."""
    return f"{name}{index + 1}" if index else name


class Front:
    """`prefix` is the path the tunnels live under: "" or "/tunnels". `defaults`: the files' own values, prefix and sockets;
    the front runs where /run/pipegate is the stack's directory then. `h2`: HTTP/2 in clear text too, on `h2_port`."""

    # What a front can do. Where one cannot, by its nature, its class says so here, and the tests say what happens there instead.
    # README's table says the same in words.
    streams_chunked_uploads = True  # else they are collected first
    slows_uploads = True            # what the local service does not read stays with the visitor; else on the front's disk
    post_without_length = True      # else 411
    empty_fields = True             # else they are left out, both ways
    head_alone = True               # a response's head leaves before there is anything of the body
    notices_departure = False       # pg-handler hears that a visitor left before there is something to send
    aborts_chunked = True           # a broken-off response without a length looks broken; else it stalls
    aborts_h2 = True                # the same over HTTP/2
    largest_field = 46_000          # of a request; pg-handler's own limit is 48k
    longest_target = 40_000
    refuses_in_targets = ()         # what it answers 400
    takes_lists = True              # of handlers and brokers; else one socket for all of them (--share)
    # With a list of handlers, of which one is dead: the methods that another one gets, which had not been sent yet; for those not
    # named how often a visitor is answered by the front while that one is dead, and how.
    passes_unsent = ("GET", "POST")
    tries_again_after = None
    handler_died = 502
    needs_h2_port = False

    def __init__(self, directory, prefix="", metrics_from=None, clients=400, extra="", handlers=1, brokers=1,
                 listen=("127.0.0.1",), defaults=False, h2=False):
        self.directory = os.path.join(directory, self.name)
        os.mkdir(self.directory)
        self.handlers = [os.path.join(directory, numbered("handler", i) + ".sock") for i in range(handlers)]
        self.brokers = [os.path.join(directory, numbered("broker", i) + ".sock") for i in range(brokers)]
        self.listen = listen
        self.prefix, self.metrics_from, self.clients, self.extra = prefix, metrics_from, clients, extra
        self.defaults, self.h2 = defaults, h2
        self.port = ports.take()
        self.h2_port = ports.take() if h2 and self.needs_h2_port else self.port
        self.address = ("127.0.0.1", self.port)
        self.program = self.start()
        until(self.listens, f"{self.name} to listen")

    def listens(self):
        assert self.program.alive(), f"{self.program.last_words()}\n{self.error_log()}"
        try:
            Visitor(self.address).close()
            return True
        except OSError:
            return False

    def run(self, program, *command, **options):
        """Starts it; with `defaults` in a mount namespace of its own."""
        if self.defaults:
            stack = os.path.dirname(self.directory)
            there = f'mount -t tmpfs tmpfs /run && mkdir /run/pipegate && mount --bind "{stack}" /run/pipegate && exec "$@"'
            command = [found("unshare"), "--mount", "sh", "-c", there, "-", *command]
        return program(self.name, command, **options)

    def method_seen(self, method):
        """What the local service gets of a method; a number: the front's own answer."""
        return method

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def elsewhere(self):
        """A directory with what the site serves beside the tunnels."""
        own = os.path.join(self.directory, "elsewhere")
        os.mkdir(own)
        self.write("elsewhere/index.txt", "the site's own")
        os.chmod(self.directory, 0o755)
        return own

    def error_log(self):
        path = os.path.join(self.directory, "error.log")
        return open(path).read() if os.path.exists(path) else ""

    def stop(self):
        try:
            self.program.stop()
        finally:
            ports.give_back(self.port)
            ports.give_back(self.h2_port)

    def url(self, tunnel="", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{self.prefix}/{tunnel}"

    # As visitors. Targets are below the prefix.

    def visit(self, deadline=PATIENCE, **options):
        return Visitor(self.address, deadline, **options)

    def send(self, raw, method="GET", deadline=PATIENCE):
        """Sends raw bytes on a connection of their own and returns the whole response."""
        with self.visit(deadline) as visitor:
            visitor.send(raw)
            return visitor.response(method)

    def request(self, method, target, fields=(), body=None, chunked=False, deadline=PATIENCE):
        raw = request_bytes(method, self.prefix + target, [("Connection", "close"), *fields], body, chunked=chunked)
        return self.send(raw, method, deadline)

    def works(self, tunnel):
        """Does a request get through just now? For polling after something was broken: one that was on its way then may be late."""
        try:
            return self.request("GET", f"/{tunnel}/works", deadline=3).status == 200
        except (BrokenOff, OSError):
            return False


class Caddy(Front):
    name = "caddy"
    aborts_chunked = aborts_h2 = False  # before 2.7.6
    passes_unsent = ("GET",)
    tries_again_after = 1  # PIPEGATE_FAIL_DURATION, below

    def method_seen(self, method):
        return method.upper()

    def start(self):
        config = self.write("Caddyfile", f"""{{
	admin off
	auto_https off
	grace_period 2s
	servers {{
		protocols h1 {"h2c" if self.h2 else ""}
	}}
}}
http://:{self.port} {{
	bind {" ".join(self.listen)}
	import "{ROOT}/deploy/Caddyfile"
	handle /elsewhere/* {{
		respond "the site's own"
	}}
	{self.extra}
}}
""")
        environment = {
            "PIPEGATE_PREFIX": self.prefix,
            "PIPEGATE_HANDLER": " ".join(f"unix/{path}" for path in self.handlers),
            "PIPEGATE_BROKER": " ".join(f"unix/{path}" for path in self.brokers),
            "STEPPATH": self.directory,
            "XDG_DATA_HOME": self.directory,
            "XDG_CONFIG_HOME": self.directory,
        }
        if self.metrics_from:
            environment["PIPEGATE_METRICS_FROM"] = self.metrics_from
        if len(self.handlers) > 1:
            environment["PIPEGATE_FAIL_DURATION"] = "1s"
        if self.defaults:
            environment = {name: value for name, value in environment.items() if not name.startswith("PIPEGATE")}
        return self.run(Program, found("caddy"), "run", "--config", config, "--adapter", "caddyfile", env=environment)


class Apache(Front):
    name = "apache"
    modules = ("mpm_event authz_core authz_host alias proxy proxy_fcgi proxy_http proxy_wstunnel proxy_balancer "
               "lbmethod_byrequests slotmem_shm rewrite env setenvif filter "
               "deflate reqtimeout dir http2").split()
    head_alone = aborts_h2 = False
    passes_unsent = ()
    tries_again_after = 10
    handler_died = 503
    largest_field = longest_target = 15_000

    def start(self):
        modules = next(d for d in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules") if os.path.isdir(d))
        load = "\n".join(f'LoadModule {m}_module "{modules}/mod_{m}.so"' for m in self.modules
                         if os.path.exists(f"{modules}/mod_{m}.so"))
        listen = "\n".join(f"Listen {address}:{self.port}" for address in self.listen)
        threads = 64
        processes = (self.clients + threads - 1) // threads
        values = {"PATH": self.prefix + "/", "HANDLER": self.handlers[0], "BROKER": self.brokers[0]}
        values.update({"HANDLER_2": path for path in self.handlers[1:2]} | {"BROKER_2": path for path in self.brokers[1:2]})
        defines = "\n".join(f"Define PIPEGATE_{name} {value}" for name, value in values.items() if not self.defaults)
        metrics = f'Define PIPEGATE_METRICS_FROM "{self.metrics_from}"' if self.metrics_from else ""
        own = self.elsewhere()
        config = self.write("apache.conf", f"""
ServerRoot "{self.directory}"
PidFile "{self.directory}/pid"
DefaultRuntimeDir "{self.directory}"
Mutex "file:{self.directory}"
ErrorLog "{self.directory}/error.log"
{load}
ServerName localhost
User www-data
Group www-data
{listen}
ListenBacklog 8192
ThreadsPerChild {threads}
ThreadLimit {threads}
ServerLimit {processes}
StartServers {min(processes, 4)}
MaxRequestWorkers {processes * threads}
# Else Apache ends processes that it has too many of, and with them connections between two requests.
MaxSpareThreads {processes * threads}
# Apache leaves out a FastCGI parameter of more than 16 KiB without a word to anybody: so none may be.
LimitRequestFieldSize 16000
LimitRequestLine 16000
# What Debian switches on for every site, and must not harm a tunnel.
AddOutputFilterByType DEFLATE text/html text/plain text/css application/javascript
RequestReadTimeout header=20-40,minrate=500 body=10,minrate=500
{defines}
{metrics}
{"Protocols h2c http/1.1" if self.h2 else ""}
<VirtualHost *:{self.port}>
Include "{ROOT}/deploy/apache/pipegate.conf"
<Location "/elsewhere/">
	ProxyPass "!"
</Location>
Alias "/elsewhere/" "{own}/"
<Directory "{own}">
	Require all granted
	DirectoryIndex index.txt
</Directory>
{self.extra}
</VirtualHost>
""")
        return self.run(Parent, found("apache2"), "-d", self.directory, "-f", config, "-DFOREGROUND")


class Nginx(Front):
    name = "nginx"
    needs_h2_port = True
    notices_departure = True

    def method_seen(self, method):
        if method == "TRACE":
            return 405
        return method if re.fullmatch("[A-Z_-]+", method) else 400

    def start(self):
        self.elsewhere()
        listen = "\n".join(f"\t\tlisten {address}:{self.port} backlog=4096;" for address in self.listen)
        if self.h2:
            listen += f"\n\t\tlisten 127.0.0.1:{self.h2_port} http2;"

        def servers(paths):
            return " ".join(f"server unix:{path} max_fails=0;" for path in paths)
        metrics = f"geo $own_near {{ default 0; {self.metrics_from} 1; }}" if self.metrics_from else ""
        own = "" if self.defaults else "set $pipegate_handler own_handler; set $pipegate_broker own_broker;"
        config = self.write("nginx.conf", f"""
daemon off;
{"user www-data;" if os.getuid() == 0 else ""}
worker_processes 2;
worker_rlimit_nofile 16384;
pid pid;
error_log error.log warn;
events {{
	worker_connections {max(4 * self.clients, 1024)};
}}
http {{
	access_log off;
	client_body_temp_path body;
	fastcgi_temp_path fastcgi;
	proxy_temp_path proxy;
	scgi_temp_path scgi;
	uwsgi_temp_path uwsgi;
	# What Debian switches on for every site, and must not harm a tunnel.
	gzip on;
	default_type application/octet-stream;
	include "{ROOT}/deploy/nginx/pipegate-http.conf";
	upstream own_handler {{ {servers(self.handlers)} keepalive 32; }}
	upstream own_broker {{ {servers(self.brokers)} }}
	{metrics}
	server {{
{listen}
		location {self.prefix}/ {{
			set $pipegate_prefix "{self.prefix}";
			{own}
			{"set $pipegate_private $own_near;" if self.metrics_from else ""}
			include "{ROOT}/deploy/nginx/pipegate.conf";
		}}
		location /elsewhere/ {{
			root "{self.directory}";
			index index.txt;
		}}
		{self.extra}
	}}
}}
""")
        return self.run(Parent, found("nginx"), "-p", self.directory, "-e", "error.log", "-c", config)


class LighttpdProgram(Program):
    """Told to end, it ends with 1 where a connection was open."""

    def wait(self, *deadline):
        status = super().wait(*deadline)
        return 0 if status == 1 and self.err.find("server stopped by UID") else status


class Lighttpd(Front):
    name = "lighttpd"
    streams_chunked_uploads = slows_uploads = post_without_length = empty_fields = False
    takes_lists = aborts_h2 = False
    longest_target = 15_000
    refuses_in_targets = ("%00", "%0d", "%0a", "\xff")
    known_methods = ("GET HEAD POST PUT DELETE OPTIONS PATCH TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT "
                     "SEARCH").split()

    def method_seen(self, method):
        return method if method in self.known_methods else 501

    def start(self):
        self.elsewhere()
        uploads = os.path.join(self.directory, "uploads")
        os.mkdir(uploads)
        let_in(uploads)
        listen = "\n".join(f'$SERVER["socket"] == "{address}:{self.port}" {{ }}' for address in self.listen[1:])
        user = 'server.username = "www-data"\nserver.groupname = "www-data"' if os.getuid() == 0 else ""
        values = {"prefix": self.prefix, "handler": self.handlers[0], "broker": self.brokers[0]}
        if self.defaults:
            values = {}
        if self.metrics_from:
            values["metrics_from"] = self.metrics_from
        values = "\n".join(f'var.pipegate_{name} := "{value}"' for name, value in values.items())
        config = self.write("lighttpd.conf", f"""
server.modules = ( "mod_indexfile", "mod_access", "mod_alias", "mod_redirect" )
server.document-root = "{self.directory}"
server.upload-dirs = ( "{uploads}" )
{user}
server.bind = "{self.listen[0]}"
server.port = {self.port}
{listen}
server.max-fds = 16384
server.listen-backlog = 4096
# What Debian switches on for every site, and must not harm a tunnel.
server.feature-flags += ( "server.h2proto" => "enable", "server.h2c" => "enable", "server.graceful-shutdown-timeout" => 5 )
server.http-parseopts = (
	"header-strict" => "enable", "host-strict" => "enable", "host-normalize" => "enable",
	"url-normalize-unreserved" => "enable", "url-normalize-required" => "enable", "url-ctrls-reject" => "enable",
	"url-path-2f-decode" => "enable", "url-path-dotseg-remove" => "enable"
)
index-file.names = ( "index.txt" )
url.access-deny = ( "~", ".inc" )
include "{ROOT}/deploy/lighttpd/pipegate-global.conf"
{values}
$HTTP["url"] !~ "^/elsewhere/" {{
	include "{ROOT}/deploy/lighttpd/pipegate.conf"
}}
{self.extra}
server.modules += ( "mod_staticfile" )
""")
        return self.run(LighttpdProgram, found("lighttpd"), "-D", "-f", config)


CLASSES = {front.name: front for front in (Caddy, Apache, Nginx, Lighttpd)}


