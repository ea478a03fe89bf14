#include "bus_scripts.h"

#include "bus_keys.h"

#define TEXT(macro) #macro
#define TEXT_OF(macro) TEXT(macro)

/* The broker's keys are built inside the scripts: they carry the same hash tag as the declared ones, so they are in the same
 * slot of a cluster. */
/* clang-format off */
static const char *const texts[PG_SCRIPTS] = {
    [PG_SCRIPT_OPEN] =
        "if redis.call('EXISTS', KEYS[2]) == 0 then return -1 end\n"
        "local waiting = redis.call('LLEN', KEYS[1])\n"
        "local broker, unrung = unpack(redis.call('HMGET', KEYS[2], 'broker', 'unrung'))\n"
        "local lives = (waiting == 0 or unrung or ARGV[4] == '1') and broker and redis.call('EXISTS', '" PG_KEY_ALIVE "' .. broker) == 1\n"
        /* Again: where nobody takes what waits, it is taken to wait there too. Else it may be lost, or its bell was. */
        "local again = ARGV[4] == '1'\n"
        "local count = math.min(#ARGV - 4, tonumber(ARGV[1]) - waiting)\n"
        "if again and waiting > 0 and (not lives or waiting >= 64) then\n"
        "  count = #ARGV - 4\n"
        "else\n"
        "  if count <= 0 and not again then return 0 end\n"
        "  count = math.max(count, 0)\n"
        "  if count > 0 then\n"
        "    redis.call('RPUSH', KEYS[1], unpack(ARGV, 5, 4 + count))\n"
        "    redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
        "  end\n"
        "end\n"
        "if waiting == 0 or unrung or again then\n"
        "  if lives then\n"
        "    local inbox = '" PG_KEY_INBOX "' .. broker\n"
        "    redis.call('RPUSH', inbox, ARGV[3])\n"
        "    redis.call('PEXPIRE', inbox, " TEXT_OF(PG_INBOX_MS) ")\n"
        "    if unrung then redis.call('HDEL', KEYS[2], 'unrung') end\n"
        "  else\n"
        "    redis.call('HSET', KEYS[2], 'unrung', 1)\n" /* nobody heard it: the next push rings again */
        "  end\n"
        "end\n"
        "return count\n",
    [PG_SCRIPT_ATTACH] =
        "local route = redis.call('HMGET', KEYS[1], 'broker', 'session', 'instance')\n"
        "local holder, session = route[1] or '', route[2] or ''\n"
        "if route[1] and route[3] ~= ARGV[3] and redis.call('EXISTS', '" PG_KEY_ALIVE "' .. route[1]) == 1 then\n"
        "  return {1, holder, session}\n"
        "end\n"
        "redis.call('HSET', KEYS[1], 'broker', ARGV[1], 'session', ARGV[2], 'instance', ARGV[3])\n"
        "redis.call('PEXPIRE', KEYS[1], ARGV[4])\n"
        "local news = {}\n"
        /* The broker before may be dead, and with it what was sent straight to it. */
        "if route[1] and route[1] ~= ARGV[1] then news[1] = ARGV[6] end\n"
        /* Another life of the client: it knows nothing of what the one before had taken. */
        "if route[3] and route[3] ~= ARGV[3] then news[#news + 1] = ARGV[5] end\n"
        "for _, handler in ipairs(#news > 0 and redis.call('SMEMBERS', '" PG_KEY_HANDLERS "') or {}) do\n"
        "  local inbox = '" PG_KEY_INBOX "' .. handler\n"
        "  if redis.call('EXISTS', '" PG_KEY_ALIVE "' .. handler) == 0 then\n"
        "    redis.call('SREM', '" PG_KEY_HANDLERS "', handler)\n"
        "  elseif redis.call('LLEN', inbox) < " TEXT_OF(PG_INBOX_NEWS_MAX) " then\n"
        "    redis.call('RPUSH', inbox, unpack(news))\n"
        "    redis.call('PEXPIRE', inbox, " TEXT_OF(PG_INBOX_MS) ")\n"
        "  end\n"
        "end\n"
        "if route[3] == ARGV[3] then return {0, holder, session} end\n"
        "return {0, '', ''}\n",
    [PG_SCRIPT_DETACH] =
        "local route = redis.call('HMGET', KEYS[1], 'broker', 'session')\n"
        "if route[1] ~= ARGV[1] or route[2] ~= ARGV[2] then return 0 end\n"
        "redis.call('HDEL', KEYS[1], 'broker', 'session', 'unrung')\n" /* the instance stays: is the next one another? */
        "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
        "return 1\n",
    [PG_SCRIPT_REMEMBER] =
        "local route = redis.call('HMGET', KEYS[1], 'broker', 'session')\n"
        "if route[1] ~= ARGV[1] or route[2] ~= ARGV[2] then return 0 end\n"
        "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
        "return 1\n",
};
/* clang-format on */

const char *pg_script_text(enum pg_script script) {
    return texts[script];
}
