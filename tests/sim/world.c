/* The world of one seed: a store in memory, turns that may die before they are on disk, and settling: what is due fires, who is online is served. */
#include "tests/sim/sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define STORE_SIZE ((size_t)64 << 20)
#define ROUNDS_MAX 2000
#define TURN_MAX 64         /* publishes of one turn */

struct waiting { int agency; struct core_receipt receipt; char code[32], id[ID_SIZE]; uint8_t *content; size_t n; };
static struct waiting waiting[TURN_MAX]; /* receipts that are not told yet */
static size_t n_waiting;
static moment turn_at;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* --- memory that ends with the process ----------------------------------------------------------------------------------------- */

#define MEMORY "/dev/shm"
#define FOLDER "reentry-sim-"

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool fine = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		(void)close(fd); /* it was written */
	return fine;
}

/* A file system of our own over /dev/shm, seen by nobody else: however this process ends, it is gone. */
static bool private_memory(void)
{
	char user[64], group[64];

	snprintf(user, sizeof user, "0 %u 1", (unsigned)getuid());
	snprintf(group, sizeof group, "0 %u 1", (unsigned)getgid());
	if (unshare(CLONE_NEWNS) && (unshare(CLONE_NEWUSER | CLONE_NEWNS) || !write_text("/proc/self/uid_map", user)
		|| !write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/gid_map", group)))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("reentry-sim", MEMORY, "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0;
}

/* Where that is not allowed: folders bear the number of their process, and those of processes that were killed are removed. */
static void sweep(void)
{
	DIR *dir = opendir(MEMORY);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[sizeof MEMORY + sizeof entry->d_name];
		long pid;

		if (strncmp(entry->d_name, FOLDER, strlen(FOLDER)) != 0)
			continue;
		pid = strtol(entry->d_name + strlen(FOLDER), NULL, 10);
		if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
			continue;
		snprintf(path, sizeof path, "%s/%s", MEMORY, entry->d_name);
		(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* another run may have been faster */
	}
	if (dir)
		closedir(dir);
}

static bool folder_make(char *dir, size_t size)
{
	static bool ready;

	if (!ready && !private_memory())
		sweep();
	ready = true;
	snprintf(dir, size, MEMORY "/" FOLDER "%ld-XXXXXX", (long)getpid());
	return mkdtemp(dir) != NULL;
}

moment world_now(const struct sim *s)
{
	return s->now > s->recorded ? s->now : s->recorded;
}

/* --- a part of the country -------------------------------------------------------------------------------------------------------- */

/* Some municipalities do not take part, some agencies want to hear of unconfirmed releases. */
static bool slice_make(struct sim *s)
{
	size_t n = 0;

	s->slice = s->config->policy;
	for (size_t i = 0; i < s->slice.n_agencies && n < AGENCIES; i++) {
		const struct agency *agency = &s->config->policy.agencies[i];

		if (agency->role == ROLE_MUNICIPALITY && i % 2 && chance(s, 30))
			continue;
		if (agency->role == ROLE_PROBATION && n + 1 < AGENCIES && chance(s, 50)) { /* the example has one such organisation, the country three; sorted by id */
			s->agencies[n] = *agency;
			s->agencies[n].id = "probation-2";
			s->agencies[n++].oin = "00000099000000009992";
		}
		s->agencies[n] = *agency;
		s->agencies[n].unconfirmed = chance(s, 10);
		n++;
	}
	s->slice.agencies = s->agencies;
	s->slice.n_agencies = n;
	s->policy = &s->slice;
	return policy_index(&s->slice, &s->whole, NULL) == OK;
}

static int store_open(struct sim *s)
{
	struct core_options options = { .dir = s->store, .keys_dir = s->keys, .size_max = STORE_SIZE, .reserve = 65536, .volatile_store = true, .master_key = s->master };

	return core_open(&options, s->policy, s->config->policy_text, &s->core, &s->err);
}

bool world_open(struct sim *s)
{
	if (!slice_make(s) || !folder_make(s->dir, sizeof s->dir))
		return violated(s, "sim", "no folder in /dev/shm");
	snprintf(s->store, sizeof s->store, "%s/store", s->dir);
	snprintf(s->keys, sizeof s->keys, "%s/keys", s->dir);
	memset(s->master, 7, sizeof s->master);
	s->recorded = MOMENT_MIN;
	if (store_open(s))
		return violated(s, "sim", "%s", s->err.text);
	return true;
}

static void forget_waiting(void)
{
	for (size_t i = 0; i < n_waiting; i++)
		free(waiting[i].content);
	n_waiting = 0;
}

void world_close(struct sim *s)
{
	forget_waiting();
	core_abandon(s->core);
	s->core = NULL;
	(void)nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* best effort: memory */
}

bool world_crash(struct sim *s)
{
	trace(s, "crash%s", s->turn ? " in the turn" : "");
	forget_waiting();
	core_abandon(s->core);
	s->core = NULL;
	s->turn = false;
	if (store_open(s))
		return violated(s, "recovery", "after a crash: %s", s->err.text);
	return observe(s, s->recorded); /* nothing may have come or gone */
}

/* --- turns ------------------------------------------------------------------------------------------------------------------------------ */

bool world_begin(struct sim *s)
{
	int error;

	turn_at = world_now(s);
	error = core_begin(s->core, s->now);
	s->turn = error == OK;
	s->turns++;
	return s->turn || violated(s, "turn", "core_begin: %s", err_text(error));
}

static const struct handed_in *before(const struct sim *s, const struct waiting *w)
{
	for (size_t i = 0; i < s->n_receipts; i++)
		if (s->receipts[i].agency == w->agency && strcmp(s->receipts[i].id, w->id) == 0)
			return &s->receipts[i];
	return NULL;
}

/* A receipt that was given is for ever: the same content answers the first sequence, other content is a conflict. */
static bool receipt_told(struct sim *s, struct waiting *w)
{
	const struct handed_in *known = *w->id ? before(s, w) : NULL;
	struct core_receipt *receipt = &w->receipt;
	struct handed_in *grown;

	trace(s, "  receipt %s: result %d %s", agency_id(s, w->agency), (int)receipt->result, w->code);
	if (known && w->n == known->n && memcmp(w->content, known->content, w->n) == 0) {
		uint64_t first = known->sequence + plant(s, FAULT_RECEIPT);

		return (receipt->result == REENTRY__OUTCOME__VALUE__DUPLICATE && receipt->sequence == first)
			|| violated(s, "receipt-kept", "%s was told %llu for %s and now %llu (result %d)", agency_id(s, w->agency), (unsigned long long)known->sequence, w->id,
				(unsigned long long)receipt->sequence, (int)receipt->result);
	}
	if (known)
		return strcmp(w->code, "id-conflict") == 0 || violated(s, "receipt-kept", "%s with other content is no id-conflict but %d %s", w->id, (int)receipt->result, w->code);
	if (receipt->result == REENTRY__OUTCOME__VALUE__DUPLICATE)
		return violated(s, "receipt-kept", "%s is called a duplicate and was never accepted", w->id);
	if (receipt->result == REENTRY__OUTCOME__VALUE__REFUSED)
		return true;
	s->accepted += receipt->result == REENTRY__OUTCOME__VALUE__ACCEPTED;
	if (receipt->sequence == 0 || receipt->sequence > s->last || (receipt->result == REENTRY__OUTCOME__VALUE__ACCEPTED && s->told[receipt->sequence].publisher != w->agency))
		return violated(s, "receipt-kept", "%s was told %llu, where its event is not", agency_id(s, w->agency), (unsigned long long)receipt->sequence);
	if (s->n_receipts == s->receipts_room) {
		s->receipts_room = s->receipts_room ? 2 * s->receipts_room : 64;
		grown = realloc(s->receipts, s->receipts_room * sizeof *grown);
		if (!grown)
			return violated(s, "sim", "out of memory");
		s->receipts = grown;
	}
	grown = &s->receipts[s->n_receipts++];
	*grown = (struct handed_in){ .agency = w->agency, .sequence = receipt->sequence, .content = w->content, .n = w->n };
	memcpy(grown->id, w->id, sizeof grown->id);
	w->content = NULL; /* taken */
	return true;
}

bool world_commit(struct sim *s)
{
	int error = core_commit(s->core);

	s->turn = false;
	if (error)
		return violated(s, "turn", "core_commit: %s", err_text(error));
	observe(s, turn_at);
	for (size_t i = 0; i < n_waiting && FINE(s); i++)
		receipt_told(s, &waiting[i]);
	forget_waiting();
	return FINE(s);
}

bool world_publish(struct sim *s, int agency, const uint8_t *content, size_t n)
{
	struct waiting *w = &waiting[n_waiting];
	int error;

	if (n_waiting == TURN_MAX)
		return true;
	*w = (struct waiting){ .agency = agency, .n = n, .content = malloc(n ? n : 1) };
	if (!w->content)
		return violated(s, "sim", "out of memory");
	memcpy(w->content, content, n);
	n_waiting++;
	s->events++;
	error = core_publish(s->core, &s->policy->agencies[agency], content, n, s->now, &w->receipt);
	if (error)
		return violated(s, "turn", "core_publish: %s", err_text(error));
	snprintf(w->code, sizeof w->code, "%s", w->receipt.code ? w->receipt.code : "");
	snprintf(w->id, sizeof w->id, "%s", w->receipt.id);
	return true;
}

/* --- settling ------------------------------------------------------------------------------------------------------------------------------- */

static bool fire(struct sim *s, bool *ret_moved)
{
	moment due = core_next_due(s->core);
	bool more = false;
	int error;

	if (due == MOMENT_NONE || due > world_now(s))
		return true;
	if (!world_begin(s))
		return false;
	error = core_fire(s->core, chance(s, 30) ? 1 : 100, &more);
	if (error)
		return violated(s, "turn", "core_fire: %s", err_text(error));
	if (chance(s, 2))
		return world_crash(s) && (*ret_moved = true);
	*ret_moved = true;
	return world_commit(s);
}

/* All or some of what was handed out, in any order, with numbers that mean nothing, and some twice. */
static size_t choose(struct sim *s, const struct core_delivery *items, size_t n, uint64_t *chosen)
{
	bool all = chance(s, 85), twice = chance(s, 5);
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (all || chance(s, 50))
			chosen[kept++] = items[i].sequence;
	for (size_t i = 1; i < kept && !all; i++) {
		size_t k = below(s, i + 1);
		uint64_t swap = chosen[i];

		chosen[i] = chosen[k];
		chosen[k] = swap;
	}
	if (twice && kept)
		chosen[kept++] = chosen[0];
	if (twice)
		chosen[kept++] = 1;
	return kept;
}

bool world_serve(struct sim *s, bool *ret_moved)
{
	struct { int agency; uint64_t *chosen; size_t n; } acks[AGENCIES];
	size_t n_acks = 0;
	int error = OK;

	for (int i = 0; i < (int)s->policy->n_agencies; i++) {
		struct core_delivery *items = NULL;
		size_t n = 0, max = chance(s, 10) ? 1 + below(s, 3) : 10000;
		uint64_t *chosen;

		if (s->down[i])
			continue;
		if (core_deliveries(s->core, agency_id(s, i), 0, max, (size_t)8 << 20, &s->arena, &items, &n))
			return violated(s, "delivery-lost", "core_deliveries fails for %s", agency_id(s, i));
		if (!ledger_compare(s, i, items, n, n < max))
			return false;
		chosen = n ? arena_alloc(&s->arena, (n + 2) * sizeof *chosen) : NULL;
		if (!chosen)
			continue;
		acks[n_acks].agency = i;
		acks[n_acks].chosen = chosen;
		acks[n_acks++].n = choose(s, items, n, chosen);
	}
	if (!n_acks)
		return true;
	*ret_moved = true;
	if (!world_begin(s))
		return false;
	for (size_t i = 0; i < n_acks && !error; i++) {
		error = core_delivered(s->core, agency_id(s, acks[i].agency), acks[i].chosen, acks[i].n);
		if (!error)
			error = core_acked(s->core, agency_id(s, acks[i].agency), acks[i].chosen, acks[i].n);
	}
	if (error)
		return violated(s, "turn", "core_acked: %s", err_text(error));
	if (chance(s, 2))
		return world_crash(s);
	if (!world_commit(s))
		return false;
	for (size_t i = 0; i < n_acks; i++)
		for (size_t k = 0; k < acks[i].n; k++)
			if (!ledger_is_acked(s, acks[i].agency, acks[i].chosen[k]))
				return violated(s, "acked", "%s acknowledged %llu and it is still queued", agency_id(s, acks[i].agency), (unsigned long long)acks[i].chosen[k]);
	return true;
}

bool world_settle(struct sim *s)
{
	bool moved = true;

	for (int round = 0; moved && FINE(s); round++) {
		if (round == ROUNDS_MAX)
			return violated(s, "rest", "a moment never comes to rest");
		moved = false;
		if (!fire(s, &moved) || !world_serve(s, &moved))
			return false;
	}
	s->settled = FINE(s);
	return s->settled;
}
