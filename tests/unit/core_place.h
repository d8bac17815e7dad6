/* A broker's core in a temporary folder, with a country of seven agencies; as cmocka's setup and teardown. */
#ifndef TESTS_UNIT_CORE_PLACE_H
#define TESTS_UNIT_CORE_PLACE_H

#include "broker/config.h"
#include "broker/core.h"

struct core_place {
	char root[64], dir[80], keys[80];
	uint8_t master[KEY_SIZE], signing[KEY_SIZE];
	size_t size_max, reserve;
	uint64_t behind_max;            /* of core_options */
	bool durable;                   /* it syncs as a broker does */
	struct broker_config *config, *old_config;
	struct core *core;
	moment now;
	struct arena arena;             /* of the test */
	struct err err;
	unsigned ids;                   /* event ids that were made up */
};

/* `agencies` of a configuration: court om, prisons pi-a and pi-b, municipalities gm-a (0344) and gm-b (0599), care-a, desk. */
extern const char place_agencies[];
/* A configuration with these agencies (text between the parentheses of the list) and rules (of its group). Fails the test if it is refused. */
struct broker_config *place_config(struct core_place *place, const char *agencies, const char *rules);
void place_use(struct core_place *place, struct broker_config *config); /* core_set_policy; takes */

int core_place_make(void **state);
int core_place_make_small(void **state, size_t reserve); /* with a map of 4 MiB and that head-room, to be filled */
int core_place_remove(void **state);
/* One until the process ends, with a case C-1: for programs that are no cmocka tests. Aborts when it cannot be made. */
struct core_place *core_place_lasting(void);
void place_open(struct core_place *place);
void place_crash(struct core_place *place);      /* abandons and opens again */
/* The core of a store that is closed, for tests that change its files in between. */
void place_close(struct core_place *place);

void place_begin(struct core_place *place);      /* at place->now */
void place_commit(struct core_place *place);
moment place_moment(const char *text);

/* The bytes of an event; members: JSON of data, or NULL. id NULL: a new one. */
struct packed { uint8_t *bytes; size_t n; };
struct packed place_event(struct core_place *place, const char *id, const char *type, const char *subject, const char *data);
/* Publishes within the turn that is open. */
struct core_receipt place_publish(struct core_place *place, const char *by, struct packed event);
/* A turn of one event; fails the test unless it is accepted. Returns its sequence. */
uint64_t place_accept(struct core_place *place, const char *by, const char *type, const char *subject, const char *data);
/* A case that is inside, from Utrecht, going to gm-a, with a release date on 2027-02-25. */
void place_case(struct core_place *place, const char *subject);

/* What is queued for an agency: "release.date-set release.approaching". In place->arena. */
const char *place_queue(struct core_place *place, const char *agency);
/* Acknowledges everything that is queued for the agency, in a turn; returns how many. */
size_t place_ack_all(struct core_place *place, const char *agency);
uint64_t place_last(struct core_place *place);   /* last sequence */
struct core_record place_record(struct core_place *place, uint64_t position);

#endif
