/* `pg-broker token`: makes a token that lets a client attach one tunnel. */
#ifndef BROKER_TOKEN_COMMAND_H
#define BROKER_TOKEN_COMMAND_H

/* argv[0] is the subcommand's name. Prints the token and a newline on stdout and nothing else. Returns the exit status.
 */
int token_command(int argc, char **argv);

#endif
