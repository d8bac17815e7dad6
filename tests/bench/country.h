/* A made-up country of any size: its agencies, their CURVE keys, and the broker's configuration in a folder. Agencies by index: prisons, providers
 * (of role housing), municipalities, one auditor who may see everything. */
#ifndef TESTS_BENCH_COUNTRY_H
#define TESTS_BENCH_COUNTRY_H

#include "lib/crypt.h"
#include "tests/bench/bench.h"

#define PRISONS 16
#define PROVIDERS 100
#define PRISON(i) (i)
#define PROVIDER(i) (PRISONS + (i))
#define MUNICIPALITY(i) (PRISONS + PROVIDERS + (i))

struct person { char id[33], code[5]; const char *role; struct key_pair key; };
struct country {
	char folder[FOLDER_SIZE];            /* with broker.cfg, keys/, store/, run/ */
	char config[FOLDER_SIZE + 16];       /* path of broker.cfg */
	char broker_key[41];                 /* public */
	size_t n_municipalities, n;
	size_t auditor;                      /* index */
	struct person *people;
};

/* Makes folder, keys and configuration. */
void country_make(struct country *country, size_t municipalities);
void country_remove(struct country *country, bool keep);   /* keep: the folder stays, to be looked at */

#endif
