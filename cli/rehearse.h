/* reentry rehearse: the broker's own core on a simulated clock, with no network, no daemon, and no disk left behind (design.md 5). */
#ifndef CLI_REHEARSE_H
#define CLI_REHEARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"

/* A line of a scenario; what is not there is NULL or false. The event is JSON text as it stands in the line, an object by its braces and otherwise unread. */
struct rehearse_line { const char *at, *by, *link, *event; size_t event_n; bool has_up, up, crash; };
/* ERR_INVALID: what is wrong with the line, but for its event; ERR_NOMEM. The arena owns the texts. */
int rehearse_line_read(const char *text, size_t n, struct arena *arena, struct rehearse_line *ret_line, struct err *err);
/* The id that stands in the line's event, however wrong the rest of it; NULL: none that is one. */
const char *rehearse_line_id(const struct rehearse_line *line, struct arena *arena);

/* argv[0] is "rehearse". Exit status: 0, 1 (failed, one line on stderr), 2 (usage). */
int rehearse_main(int argc, char **argv);

#endif
