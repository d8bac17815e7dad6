/* An agent without broker and control socket in a temporary folder, for the tests of agents/; as cmocka's setup and teardown. */
#ifndef TESTS_UNIT_AGENT_PLACE_H
#define TESTS_UNIT_AGENT_PLACE_H

#include "agents/agent.h"

struct agent_place {
	bool ends; /* the next arrival is the message that ends the last relation */ char root[64], config[96], spool[96]; struct agent agent; struct err err; };

/* The configuration has a spool. */
int agent_place_make(void **state);
int agent_place_remove(void **state);
/* Closes the agent, what was not committed being lost, and opens its store again. */
void agent_place_reopen(struct agent_place *place);
/* Hands in an event in JSON and ends the turn; the number it got. */
uint64_t agent_place_hand_in(struct agent_place *place, const char *json);
/* Answers everything up to that number, in order; code NULL: accepted, with the number as sequence. */
void agent_place_answer(struct agent_place *place, uint64_t first, uint64_t last, const char *code);
/* An event arrives, and the turn ends. data: the payload in JSON. urgent: its priority. */
void agent_place_arrive(struct agent_place *place, uint64_t sequence, const char *type, const char *subject, const char *data, bool urgent);
/* The event that arrived under the second sequence arrives under the first one. */
void agent_place_arrive_again(struct agent_place *place, const uint64_t sequences[2], const char *type, const char *subject, const char *data);
/* Whether any file below the folder holds these bytes. */
bool agent_place_holds(const struct agent_place *place, const void *bytes, size_t n);
/* Rounds of the loop until the path (below the root) is there. */
void agent_place_until(struct agent_place *place, const char *path);
/* Rounds of the loop until nothing is owed to out/. */
void agent_place_written(struct agent_place *place);
bool agent_place_has(const struct agent_place *place, const char *path);

#endif
