# The texts of --help on standard input, those of subcommands behind a line "=NAME"; the completion script on standard output.
# An option's line is "  --name ARGUMENT   what it is for". What its argument can be is seen from these two.

function trim(text) {
	sub(/^ +/, "", text)
	sub(/ +$/, "", text)
	return text
}

# "error, warn, info or debug (info)" -> "error warn info debug"; anything else -> "".
function choices(text) {
	sub(/ \([a-z]+\)$/, "", text)
	if (text !~ /^[a-z]+(, [a-z]+)* or [a-z]+$/) return ""
	gsub(/,| or/, "", text)
	return text
}

function kind(argument, text) {
	if (argument == "") return "flag"
	if (argument == "FILE" || argument == "PATH") return "file"
	return choices(text) == "" ? "other" : "choice"
}

function quoted(text, specials) { # for single quotes, with a backslash before each of `specials`
	if (specials != "") gsub("[" specials "]", "\\\\&", text)
	gsub(/'/, shell == "fish" ? "\\'" : "'\\''", text)
	return "'" text "'"
}

BEGIN {
	sections = 1
	command[1] = ""
}

/^=/ {
	command[++sections] = substr($0, 2)
	next
}

/^  --[a-z]/ {
	line = substr($0, 3)
	gap = index(line, "  ")
	left = gap ? substr(line, 1, gap - 1) : line
	text = gap ? trim(substr(line, gap)) : ""
	parts = split(left, word, " ")
	# Where the name and its argument fill their column, one space is all there is before the text.
	argument = parts > 1 && word[2] ~ /^[A-Z]+$/ ? word[2] : ""
	if (!gap) {
		text = left
		sub(/^[^ ]+ */, "", text)
		if (argument != "") sub(/^[^ ]+ */, "", text)
	}
	n = ++count[sections]
	option[sections, n] = substr(word[1], 3)
	takes[sections, n] = argument
	about[sections, n] = text
}

function names(section, of,    n, list) {
	for (n = 1; n <= count[section]; n++)
		if (of == "" || kind(takes[section, n], about[section, n]) == of) list = list " --" option[section, n]
	return substr(list, 2)
}

function subcommands(    s, list) {
	for (s = 2; s <= sections; s++) list = list " " command[s]
	return substr(list, 2)
}

# --- bash

function alternatives(section, of,    list) {
	list = names(section, of)
	gsub(/ /, " | ", list)
	return list
}

function bash_case(section,    n, list) {
	print "\t\tcase $previous in"
	list = alternatives(section, "file")
	if (list != "") {
		print "\t\t" list ")"
		print "\t\t\tcompopt -o filenames"
		print "\t\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$current\")"
		print "\t\t\treturn"
		print "\t\t\t;;"
	}
	list = alternatives(section, "other")
	if (list != "") print "\t\t" list ") return ;;"
	for (n = 1; n <= count[section]; n++)
		if (kind(takes[section, n], about[section, n]) == "choice")
			print "\t\t--" option[section, n] ") words='" choices(about[section, n]) "' ;;"
	print "\t\t*) words='" names(section, "") "' ;;"
	print "\t\tesac"
	print "\t\t;;"
}

function bash(    f, s) {
	f = program
	gsub(/-/, "_", f)
	print "# bash completion for " program ", made from its --help."
	print "_" f "() {"
	print "\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' words=''"
	print "\tCOMPREPLY=()"
	print "\t# --name=value comes as three words."
	print "\tif [ \"$current\" = = ]; then"
	print "\t\tcurrent=''"
	print "\telif [ \"$previous\" = = ]; then"
	print "\t\tprevious=${COMP_WORDS[COMP_CWORD - 2]}"
	print "\tfi"
	print "\t[ \"$COMP_CWORD\" -eq 1 ] || command=${COMP_WORDS[1]}"
	print "\tcase $command in"
	for (s = 2; s <= sections; s++) {
		print "\t" command[s] ")"
		bash_case(s)
	}
	print "\t*)"
	bash_case(1)
	print "\tesac"
	if (sections > 1) print "\t[ \"$COMP_CWORD\" -gt 1 ] || words+=' " subcommands() "'"
	print "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")"
	print "}"
	print "complete -F _" f " " program
}

# --- zsh

function zsh_arguments(section, indent,    n, what, text) {
	for (n = 1; n <= count[section]; n++) {
		what = kind(takes[section, n], about[section, n])
		text = "--" option[section, n] (what == "flag" ? "" : "=") "[" about[section, n] "]"
		gsub(/[\[\]:\\]/, "\\\\&", text)
		sub(/\\\[/, "[", text)
		sub(/\\\]$/, "]", text)
		if (what == "file") text = text ":file:_files"
		if (what == "choice") text = text ":" tolower(takes[section, n]) ":(" choices(about[section, n]) ")"
		if (what == "other") text = text ":" takes[section, n] ": "
		print indent quoted(text, "") " \\"
	}
	print indent "&& return 0"
}

function zsh(    s) {
	print "#compdef " program
	print "# zsh completion for " program ", made from its --help."
	for (s = 2; s <= sections; s++) {
		print "if [[ $words[2] == " command[s] " && $CURRENT -gt 2 ]]; then"
		print "\tshift words && ((CURRENT--))"
		print "\t_arguments \\"
		zsh_arguments(s, "\t\t")
		print "\treturn 1"
		print "fi"
	}
	if (sections > 1) print "((CURRENT == 2)) && compadd " subcommands()
	print "_arguments \\"
	zsh_arguments(1, "\t")
}

# --- fish

function fish_options(section, condition,    n, what) {
	for (n = 1; n <= count[section]; n++) {
		what = kind(takes[section, n], about[section, n])
		printf "complete -c %s%s -l %s", program, condition, option[section, n]
		if (what == "file") printf " -r -F"
		if (what == "choice") printf " -x -a %s", quoted(choices(about[section, n]), "")
		if (what == "other") printf " -x"
		print " -d " quoted(about[section, n], "\\\\")
	}
}

function fish(    s) {
	print "# fish completion for " program ", made from its --help."
	print "complete -c " program " -f"
	for (s = 2; s <= sections; s++) {
		print "complete -c " program " -n __fish_is_first_arg -a " command[s]
		fish_options(s, " -n '__fish_seen_subcommand_from " command[s] "'")
	}
	fish_options(1, sections > 1 ? " -n 'not __fish_seen_subcommand_from " subcommands() "'" : "")
}

END {
	if (!count[1]) {
		print "generate: " program " --help shows no options" >"/dev/stderr"
		exit 1
	}
	if (shell == "bash") bash()
	else if (shell == "zsh") zsh()
	else fish()
}
