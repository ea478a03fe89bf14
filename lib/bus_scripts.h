/* The Lua scripts that change several keys at once. Internal to the bus. */
#ifndef PG_BUS_SCRIPTS_H
#define PG_BUS_SCRIPTS_H

enum pg_script {
    PG_SCRIPT_OPEN, /* KEYS requests, route. ARGV waiting max, list ms, bell, again 0/1, message... -> number taken, -1 no tunnel */
    PG_SCRIPT_ATTACH,   /* KEYS route. ARGV broker, session, instance, remember ms, ROUTED -> {taken 0/1, broker, session} */
    PG_SCRIPT_DETACH,   /* KEYS route. ARGV broker, session, remember ms -> 1 if it was ours */
    PG_SCRIPT_REMEMBER, /* KEYS route. ARGV broker, session, remember ms -> 1 if it is ours */
    PG_SCRIPTS
};

/* The text of a script. */
const char *pg_script_text(enum pg_script script);

#endif
