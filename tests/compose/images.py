"""The images the stack needs. Those of a registry are stood in for by ones of Debian's packages, under the same names, where the
engine has none of that name.

What takes long is kept in the engine under tags of our own (pipegate-test/...), so that the next run is quick; whatever else a
run tags, it takes away again. `docker image rm $(docker images -q 'pipegate-test/*')` frees the room."""
import io
import subprocess
import tarfile

from kit.programs import ROOT

SUITES = {"bookworm": "debian:bookworm-slim", "trixie": "debian:trixie-slim"}
STANDINS = {"redis": "redis:7", "caddy": "caddy:2", "httpd": "httpd:2.4"}
PROGRAMS = ("pg-handler", "pg-broker", "pg-client")


def docker(*arguments, check=True, deadline=60, **options):
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=deadline, **options)
    assert not check or result.returncode == 0, f"docker {' '.join(arguments)}: {(result.stdout + result.stderr)[-3000:]}"
    return result.stdout.strip() if check else result


def image_id(name):
    result = docker("image", "inspect", "--format", "{{.Id}}", name, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


class Images:
    def __init__(self):
        self.tagged = []

    def tag(self, image, name):
        """Unless there is one of that name already: a pulled one is better, and not ours to replace."""
        if not image_id(name):
            docker("tag", image, name)
            self.tagged.append(name)

    def build(self, cache, file, target, *options):
        """Builds, and forgets what was in the cache under that name before."""
        before = image_id(cache)
        docker("build", "--force-rm", "--network", "host", "-f", f"{ROOT}/{file}", "--target", target, "-t", cache, *options,
               deadline=900)
        if before and before != image_id(cache):
            docker("image", "rm", before, check=False)
        return cache

    def base(self, suite):
        """Debian's slim image: minbase without documentation and translations."""
        name = SUITES[suite]
        if image_id(name):
            return
        tar = subprocess.run([f"{ROOT}/tests/base/debian", suite], check=True, capture_output=True, text=True).stdout.strip()
        with tarfile.open(tar) as whole:
            made = str(int(whole.getmember("./etc/debian_version").mtime)) + str(len(whole.getmembers()))
        cache = f"pipegate-test/debian:{suite}-{made}"
        if not image_id(cache):
            for old in docker("images", "-q", f"pipegate-test/debian:{suite}-*").split():
                docker("image", "rm", old, check=False)
            self.import_slim(tar, cache)
        self.tag(cache, name)

    @staticmethod
    def import_slim(tar, name):
        dropped = ("./usr/share/doc/", "./usr/share/man/", "./usr/share/locale/", "./usr/share/info/", "./var/lib/apt/lists/",
                   "./var/cache/apt/", "./var/log/")
        rules = "".join(f"path-exclude /usr/share/{what}/*\n" for what in ("doc", "man", "locale", "info"))
        process = subprocess.Popen(["docker", "import", "--change", "CMD [\"bash\"]", "-", name], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL)
        with tarfile.open(tar) as whole, tarfile.open(fileobj=process.stdin, mode="w|") as slim:
            for member in whole:
                if member.name.startswith(dropped) and not member.isdir():
                    continue
                slim.addfile(member, whole.extractfile(member) if member.isreg() else None)
            text = rules.encode()
            added = tarfile.TarInfo("./etc/dpkg/dpkg.cfg.d/docker")
            added.size = len(text)
            slim.addfile(added, io.BytesIO(text))
        process.stdin.close()
        assert process.wait(120) == 0, f"docker import failed for {name}"

    def standins(self):
        for target, name in STANDINS.items():
            if not image_id(name):
                self.tag(self.build(f"pipegate-test/{target}:cache", "tests/compose/standins.Dockerfile", target,
                                    f"{ROOT}/tests/compose"), name)

    def programs(self, tag, suite="bookworm"):
        """Ours, as pipegate/...:TAG."""
        options = ("--build-arg", f"BASE={SUITES[suite]}", str(ROOT))
        for target in ("build", *PROGRAMS):
            cache = self.build(f"pipegate-test/{target}:{suite}", "deploy/docker/Dockerfile", target, *options)
            if target != "build":
                self.tag(cache, f"pipegate/{target}:{tag}")

    def remove(self):
        for name in reversed(self.tagged):
            docker("image", "rm", "--no-prune", name, check=False)
