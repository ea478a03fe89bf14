"""Completions as the shells themselves give them, compared with --help: all of its options, and no others."""
import re
import shutil

import pytest

from kit import systems

PROGRAMS = {"pg-handler": [], "pg-broker": ["token"], "pg-client": []}


@pytest.fixture(scope="module")
def shells(suite, packages):
    """A system with both packages and the three shells."""
    system = systems.System(suite, systems.prepared(suite, "shells", ["bash-completion", "zsh", "fish"]))
    for package in packages.values():
        shutil.copy(package, system.file("/root"))
    system.install(*(f"/root/{package.name}" for package in packages.values()))
    yield system
    system.remove()


def options(system, *command):
    found = set(re.findall(r"^  (--[a-z-]+)", system.run(*command, "--help"), re.M))
    assert "--help" in found and len(found) > 4
    return found


# What a Tab after these words makes of the last one.
BASH = """
source /usr/share/bash-completion/bash_completion
if declare -F _comp_load >/dev/null; then _comp_load -- "$1"; else _completion_loader "$1" || :; fi
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE=$* COMP_POINT=${#COMP_LINE}
spec=$(complete -p "$1")
function=${spec#*-F } && function=${function%% *}
"$function" "$1" "${!#}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'complete -C "$argv"'
# zsh has no call for it: Tab is pressed in a terminal of its own, and what the completion offers is written down as it is added.
ZSHRC = """
PROMPT= RPROMPT= LISTMAX=0
autoload -Uz compinit && compinit -u -D
compadd() {
	if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
		typeset -a offered
		builtin compadd -A offered "$@"
		print -rl -- $offered >>/tmp/offered
	fi
	builtin compadd "$@"
}
zle-line-init() { print ready >/tmp/ready }
zle -N zle-line-init
press-tab() { zle complete-word; print done >/tmp/done }
zle -N press-tab
bindkey '^I' press-tab
"""
ZSH = """
zmodload zsh/zpty
zpty -b shell ZDOTDIR=/tmp/zsh zsh -i
until [[ -s /tmp/ready ]]; do zpty -rt shell line; done
zpty -w -n shell "$*"$'\\t'
until [[ -s /tmp/done ]]; do zpty -rt shell line; done
zpty -d shell
cat /tmp/offered
"""


def complete(system, shell, *words):
    if shell == "bash":
        return set(system.run("bash", "-c", BASH, "bash", *words).split())
    if shell == "fish":
        lines = system.run("fish", "-c", FISH, " ".join(words)).splitlines()
        return {line.split("\t")[0] for line in lines}
    system.shell("rm -f /tmp/ready /tmp/done; : >/tmp/offered; mkdir -p /tmp/zsh")
    system.file("/tmp/zsh/.zshrc").write_text(ZSHRC)
    return set(system.run("zsh", "-f", "-c", ZSH, "zsh", " ".join(words), deadline=60).split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_options(shells, shell, program):
    assert complete(shells, shell, program, "--") == options(shells, program)
    for name in PROGRAMS[program]:
        assert complete(shells, shell, program, name, "--") == options(shells, program, name)
        assert complete(shells, shell, program, name[:2]) == {name}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_values(shells, shell):
    assert complete(shells, shell, "pg-handler", "--log-format", "") == {"text", "json"}
    assert complete(shells, shell, "pg-handler", "--log-level", "w") == {"warn"}
    shells.file("/tmp/some-secret").write_text("x")
    assert complete(shells, shell, "pg-broker", "--secret-file", "/tmp/some-s") & {"/tmp/some-secret", "some-secret"}
    assert not complete(shells, shell, "pg-broker", "--max-clients", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_syntax(shells, shell):
    for program in PROGRAMS:
        path = {"bash": f"bash-completion/completions/{program}", "zsh": f"zsh/vendor-completions/_{program}",
                "fish": f"fish/vendor_completions.d/{program}.fish"}[shell]
        assert shells.run(shell, "-n", f"/usr/share/{path}") == ""
