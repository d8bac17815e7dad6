/* Sealing beside the rules. What is left of a record when it has its place in the turn (commitment, seal, leaf hash: a quarter of an event's work) depends on nothing but its own bytes. In a turn with much to do a
 * thread of its own does it while the next events are decided; what is left at the turn's end both do together.
 *
 * Jobs are numbered from the core's start, and stand in a ring of chunks. `published` is written by the core's thread alone, `taken` by whoever takes one, `done` by whoever has done one; what lies in a job belongs to
 * the one that took it. Nothing in here decides anything: with or without the thread the same bytes are written, nonces aside. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core_internal.h"

#define CHUNK 64                    /* jobs; as many are worth waking a thread for */
#define CHUNKS 256                  /* of the ring: a turn with more jobs does those beyond it at once */
#define STACK ((size_t)256 << 10)

struct sealer {
	atomic_uint_fast64_t published, taken, done;
	uint64_t collected;             /* up to here leaf hashes are in the tree */
	struct seal_job *chunks[CHUNKS];
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool running, refused;          /* the thread is there; it could not be made */
	bool asleep, stop;              /* under the mutex */
};

static struct seal_job *job_of(struct sealer *s, uint64_t i)
{
	return &s->chunks[i / CHUNK % CHUNKS][i % CHUNK];
}

/* Does one job. False: there is none. */
static bool do_one(struct sealer *s)
{
	uint_fast64_t at = atomic_load_explicit(&s->taken, memory_order_relaxed);

	do
		if (at >= atomic_load_explicit(&s->published, memory_order_acquire))
			return false;
	while (!atomic_compare_exchange_weak_explicit(&s->taken, &at, at + 1, memory_order_acq_rel, memory_order_relaxed));
	log_seal(job_of(s, at));
	atomic_fetch_add_explicit(&s->done, 1, memory_order_release);
	return true;
}

static void *run(void *context)
{
	struct sealer *s = context;

	(void)pthread_mutex_lock(&s->mutex); /* fails only for mutexes of other kinds; so below */
	while (!s->stop) {
		(void)pthread_mutex_unlock(&s->mutex);
		while (do_one(s))
			continue;
		crypt_seal_forget(); /* no key stays with a thread that sleeps */
		(void)pthread_mutex_lock(&s->mutex);
		if (!s->stop && atomic_load_explicit(&s->taken, memory_order_relaxed) >= atomic_load_explicit(&s->published, memory_order_acquire)) {
			s->asleep = true;
			(void)pthread_cond_wait(&s->wake, &s->mutex);
			s->asleep = false;
		}
	}
	(void)pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static void start_thread(struct sealer *s)
{
	pthread_attr_t attributes;
	int rc = pthread_attr_init(&attributes);

	if (rc == 0) {
		(void)pthread_attr_setstacksize(&attributes, STACK); /* else it is as large as usual */
		rc = pthread_create(&s->thread, &attributes, run, s);
		(void)pthread_attr_destroy(&attributes);
	}
	s->running = rc == 0;
	s->refused = rc != 0; /* then the core's thread does it all */
}

static void wake(struct sealer *s)
{
	if (!s->running && !s->refused)
		start_thread(s);
	(void)pthread_mutex_lock(&s->mutex);
	if (s->asleep)
		(void)pthread_cond_signal(&s->wake);
	(void)pthread_mutex_unlock(&s->mutex);
}

int seals_open(struct core *core)
{
	core->sealer = calloc(1, sizeof *core->sealer);
	if (!core->sealer)
		return ERR_NOMEM;
	(void)pthread_mutex_init(&core->sealer->mutex, NULL); /* these do not fail with glibc */
	(void)pthread_cond_init(&core->sealer->wake, NULL);
	return OK;
}

struct seal_job *seals_room(struct core *core)
{
	struct sealer *s = core->sealer;
	uint64_t at;
	struct seal_job **chunk;

	if (!s || !core->txn.staged)
		return NULL;
	at = atomic_load_explicit(&s->published, memory_order_relaxed);
	if (at - s->collected >= (uint64_t)CHUNK * (CHUNKS - 1))
		return NULL;
	chunk = &s->chunks[at / CHUNK % CHUNKS];
	if (!*chunk)
		*chunk = calloc(CHUNK, sizeof **chunk);
	return *chunk ? &(*chunk)[at % CHUNK] : NULL;
}

void seals_publish(struct core *core)
{
	struct sealer *s = core->sealer;
	const uint64_t n = atomic_fetch_add_explicit(&s->published, 1, memory_order_release) + 1;

	if (n % CHUNK == 0)
		wake(s);
}

static bool seals_pending(const struct core *core)
{
	return core->sealer && atomic_load_explicit(&core->sealer->published, memory_order_relaxed) != core->sealer->collected;
}

void seals_wait(struct core *core)
{
	struct sealer *s = core->sealer;

	if (!seals_pending(core))
		return;
	while (do_one(s))
		continue;
	while (atomic_load_explicit(&s->done, memory_order_acquire) != atomic_load_explicit(&s->published, memory_order_relaxed))
		(void)sched_yield(); /* the other thread is at its last one */
}

int seals_collect(struct core *core)
{
	struct sealer *s = core->sealer;
	int error = OK;

	if (!s)
		return OK;
	seals_wait(core);
	for (uint64_t end = atomic_load_explicit(&s->published, memory_order_relaxed); s->collected < end && !error; s->collected++) {
		error = nodes_add(core, job_of(s, s->collected)->leaf);
		crypt_wipe(job_of(s, s->collected)->key, KEY_SIZE);
	}
	return error;
}

void seals_drop(struct core *core)
{
	struct sealer *s = core->sealer;

	if (!s)
		return;
	seals_wait(core); /* it writes into memory that is about to go */
	for (uint64_t end = atomic_load_explicit(&s->published, memory_order_relaxed); s->collected < end; s->collected++)
		crypt_wipe(job_of(s, s->collected)->key, KEY_SIZE);
}

void seals_close(struct core *core)
{
	struct sealer *s = core->sealer;

	if (!s)
		return;
	seals_drop(core);
	if (s->running) {
		(void)pthread_mutex_lock(&s->mutex);
		s->stop = true;
		(void)pthread_cond_signal(&s->wake);
		(void)pthread_mutex_unlock(&s->mutex);
		(void)pthread_join(s->thread, NULL); /* it is ours, and ends */
	}
	(void)pthread_cond_destroy(&s->wake);
	(void)pthread_mutex_destroy(&s->mutex);
	for (size_t i = 0; i < CHUNKS; i++)
		free(s->chunks[i]);
	free(s);
	core->sealer = NULL;
}
