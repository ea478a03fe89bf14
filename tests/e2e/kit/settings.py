"""Settings that cannot work: one line that says which and how to mend it, exit 2."""
import re

from kit.programs import run


def refuses(name, arguments, *words, env=None, began=False):
    """`began`: it may have begun to serve when it finds out, and have said so."""
    done = run(name, *arguments, env=env)
    problems = [line for line in done.err.lines if not (began and re.match(r"\S+ (info|warn) ", line))]
    assert done.status == 2 and not done.out.lines and len(problems) == 1, done.last_words()
    for word in words:
        assert word in problems[0], done.last_words()


def needed(name, stack, tmp_path):
    return {"pg-handler": ["--socket", str(tmp_path / "h"), "--redis", stack.bus],
            "pg-broker": ["--listen", f"unix:{tmp_path}/b", "--redis", stack.bus, "--open"],
            "pg-client": ["--port", "80", "--server-url", "ws://127.0.0.1:1"]}[name]
